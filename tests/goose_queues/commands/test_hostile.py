"""Texts of others never reach the terminal as they are, whoever put them into the store; nor do secrets."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from called import Said
from goose import Kernel
from goose_queues import Client
from goose_queues.redact import _CONTROL
from goose_queues.testing import drain

ATTACK = "ok\r\nfake  completed\x1b[31m\x1b]0;owned\x07\x85\x9b1m\u2028\u202e end"


@pytest.fixture
def attacked(project: Path, on_queue: Any, main: Any) -> str:
    """A job in whose row all that is text is an attack."""

    async def fill(kernel: Kernel) -> str:
        handle = await kernel.get(Client).dispatch(main.Send(to=ATTACK)).meta(**{ATTACK: ATTACK, "token": "hunter2"})
        await drain(kernel)
        return handle.id

    job_id: str = on_queue(fill)
    error = json.dumps({"type": ATTACK, "message": ATTACK, "traceback": f"{ATTACK}\npassword=hunter2"})
    with closing(sqlite3.connect(project / "queue.db", isolation_level=None)) as connection:
        connection.execute(
            "UPDATE goose_jobs SET name = ?, note = ?, result = ?, progress = ?, error = ?",
            (ATTACK, ATTACK, json.dumps(ATTACK), json.dumps({"done": 1, "total": 2, "note": ATTACK}), error),
        )
        connection.execute("UPDATE goose_jobs SET queue = ?", (ATTACK,))
        connection.execute("UPDATE goose_counts SET queue = ?", (ATTACK,))
    return job_id


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["show", "ID"], ["show", "ID", "--json"], ["stats"]])
def test_nothing_drives_the_terminal(goose: Callable[..., Said], attacked: str, words: list[str]) -> None:
    shown = goose("queue", *(attacked if word == "ID" else word for word in words))
    assert (shown.code, shown.err) == (0, "")
    assert _CONTROL.sub("", shown.out.replace("\n", "")) == shown.out.replace("\n", "")
    assert not any(line.startswith("fake") for line in shown.out.splitlines())
    assert "hunter2" not in shown.out


def test_json_holds_what_is_there(goose: Callable[..., Said], attacked: str) -> None:
    """Escaped, so that a program gets exactly the text."""
    job = json.loads(goose("queue", "show", attacked, "--json").out)
    assert (job["name"], job["note"], job["payload"]) == (ATTACK, ATTACK, {"to": ATTACK})
    assert job["meta"] == {ATTACK: ATTACK, "token": "***"}


def test_a_payload_that_is_no_json(goose: Callable[..., Said], project: Path, attacked: str) -> None:
    with closing(sqlite3.connect(project / "queue.db", isolation_level=None)) as connection:
        connection.execute("UPDATE goose_jobs SET payload = ?", (f"not json {ATTACK} password=hunter2",))
    for words in (["show", attacked], ["show", attacked, "--json"]):
        shown = goose("queue", *words)
        assert shown.code == 0
        assert "not json" in shown.out
        assert "hunter2" not in shown.out
        assert "\x1b" not in shown.out
