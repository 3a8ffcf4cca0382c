"""The same commands on each store: a short run through all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from called import Said
from goose import Kernel
from goose_queues import Client
from goose_queues.testing import drain
from servers.shared import SERVERS

everywhere = pytest.mark.parametrize("url", ["sqlite", *SERVERS], indirect=True)


@everywhere
def test_a_run_through_all(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    async def fill(kernel: Kernel) -> Any:
        client = kernel.get(Client)
        batch = await client.batch([main.Send(), main.Note()]).dispatch()
        await client.dispatch_many([main.Send()] * 4)
        await drain(kernel)
        await client.dispatch_many([main.Note()] * 3)
        return batch

    batch = on_queue(fill)
    stats = json.loads(goose("queue", "stats", "--json").out)
    assert {name: (counts["pending"], counts["failed"]) for name, counts in stats.items()} == {
        "default": (3, 0),
        "emails": (0, 5),
    }

    rows = goose("queue", "list", "--status", "failed", "--limit", "2").out.splitlines()[1:]
    one, other = (row.split()[0] for row in rows)
    shown = goose("queue", "show", batch.ids[0])
    assert f"member of batch {batch.id}, 1 of 2 completed, 1 failed" in shown.out
    assert "ValueError: nobody is no address" in shown.out

    assert goose("queue", "retry", one).out == f"{one}: retried\n"
    assert goose("queue", "cancel", one).out == f"{one}: cancelled\n"
    assert goose("queue", "retry", other, "' OR 1=1 --").out.splitlines() == [
        f"{other}: retried",
        "' OR 1=1 --: no such job",
    ]
    assert goose("queue", "retry", "--queue", "emails", "--yes").out == "3 retried\n"
    assert goose("queue", "cancel", "--queue", "emails", "--yes").out == "4 cancelled\n"

    assert goose("queue", "pause", "default").out == "paused default\n"
    assert json.loads(goose("queue", "stats", "default", "--json").out)["default"]["paused"]
    assert goose("queue", "resume", "default").out == "resumed default\n"
    assert goose("queue", "purge", "default", "--yes").out == "deleted 3 pending jobs of default\n"
    stats = json.loads(goose("queue", "stats", "--json").out)
    assert (stats["default"]["pending"], stats["default"]["completed"]) == (0, 1)
    assert (stats["emails"]["cancelled"], stats["emails"]["failed"]) == (5, 0)


@everywhere
def test_a_paused_queue_without_a_job_is_known(goose: Callable[..., Said], on_queue: Any) -> None:
    on_queue(lambda kernel: kernel.get(Client).pause("elsewhere"))
    assert goose("queue", "resume", "elsewhere") == Said(0, "resumed elsewhere\n", "")


@pytest.mark.parametrize(
    "words", [["stats"], ["stats", "--watch"], ["list"], ["show", "x"], ["retry", "x"], ["pause", "a"]]
)
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_tables_that_are_not_there(goose: Callable[..., Said], project: Path, words: list[str]) -> None:
    """What to do is said in one line."""
    main = project / "main.py"
    main.write_text(main.read_text().replace("auto_migrate=True", "auto_migrate=False"))
    said = goose("queue", *words)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.endswith(" has no tables for the queue. Run: goose db migrate\n")
