"""``goose queue`` but for its workers: the jobs of a generated application are counted, listed, shown and steered."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from end_to_end.installed import Goose
from end_to_end.terminal import Terminal

DISPATCH = """
import asyncio, sys, goose
from goose_queues import Client
from app.jobs.send_greeting import SendGreeting
from app.jobs.charge_card import ChargeCard
from main import app

async def dispatch() -> None:
    async with goose.running(app) as kernel:
        queue = kernel.get(Client)
        for name in ("Ada", "Grace", "Mary"):
            await queue.dispatch(SendGreeting(to=name))
        await queue.dispatch(ChargeCard())

asyncio.run(dispatch())
"""


@pytest.fixture(scope="module")
def paid(goose: Goose, shop: Path) -> Path:
    """The application with a job that fails."""
    goose(shop, "new", "job", "ChargeCard", "--queue", "payments", "--retries", "0")
    job = shop / "app/jobs/charge_card.py"
    failing = re.sub(r"ctx\.log.*", 'raise LookupError("no such card")', job.read_text())
    job.write_text(failing)
    (shop / "dispatch.py").write_text(DISPATCH)
    return shop


@pytest.fixture(scope="module")
def waiting(goose: Goose, paid: Path) -> bytes:
    """The database with three greetings to send and a card to charge."""
    goose.module(paid, "dispatch.py")
    return (paid / "shop.db").read_bytes()


@pytest.fixture
def busy(paid: Path, waiting: bytes) -> Path:
    """The application with that to do, and nothing else."""
    for file in paid.glob("shop.db*"):
        file.unlink()
    (paid / "shop.db").write_bytes(waiting)
    return paid


def counts(goose: Goose, shop: Path, queue: str) -> dict[str, int]:
    found = json.loads(goose(shop, "queue", "stats", "--json").stdout)[queue]
    return {
        name: number
        for name, number in found.items()
        if name in {"pending", "completed", "failed", "cancelled"} and number
    }


def test_a_job_that_failed_is_found_looked_at_and_retried(goose: Goose, busy: Path) -> None:
    goose(busy, "queue", "work", "--burst")
    table = goose(busy, "queue", "list", "--status", "failed").stdout
    found = re.search(r"^(\S+) +ChargeCard +payments +failed +1 .*LookupError: no such card$", table, re.MULTILINE)
    assert found is not None, table
    shown = goose(busy, "queue", "show", found[1]).stdout
    assert "app/jobs/charge_card.py" in shown
    assert "LookupError: no such card" in shown
    assert json.loads(goose(busy, "queue", "show", found[1], "--json").stdout)["status"] == "failed"
    assert goose(busy, "queue", "retry", found[1]).stdout == f"{found[1]}: retried\n"
    assert counts(goose, busy, "payments") == {"pending": 1}


def test_bulk_forms_count_first(goose: Goose, busy: Path) -> None:
    shown = goose(busy, "queue", "cancel", "--queue", "greetings", "--dry-run").stdout
    assert shown == "3 pending jobs in greetings\n"
    refused = goose(busy, "queue", "cancel", "--queue", "greetings", code=1).stderr
    assert refused.startswith("goose: 3 pending jobs in greetings. ")
    assert refused.endswith("Nobody can be asked here: say --yes\n")
    goose(busy, "queue", "cancel", "--queue", "greetings", "--yes", "--reason", "the party is off")
    cancelled = goose(busy, "queue", "list", "--queue", "greetings", "--json").stdout.splitlines()
    assert [(job["status"], job["note"]) for job in map(json.loads, cancelled)] == [
        ("cancelled", "the party is off")
    ] * 3
    goose(busy, "queue", "retry", "--queue", "greetings", "--status", "cancelled", "--yes")
    assert counts(goose, busy, "greetings") == {"pending": 3}


def test_a_paused_queue_is_left_alone_until_it_is_resumed(goose: Goose, busy: Path) -> None:
    assert goose(busy, "queue", "pause", "greetings").stdout == "paused greetings\n"
    assert "greeted" not in goose(busy, "queue", "work", "--burst").stderr
    assert goose(busy, "queue", "resume", "greetings").stdout == "resumed greetings\n"
    assert goose(busy, "queue", "work", "--burst", "--queues", "greetings").stderr.count("greeted: Hello") == 3


def test_what_is_purged_is_asked_for(goose: Goose, busy: Path) -> None:
    refused = goose(busy, "queue", "purge", "greetings", code=1).stderr
    assert refused == "goose: 3 pending jobs in greetings. Delete them? Nobody can be asked here: say --yes\n"
    with Terminal(goose, busy) as terminal:
        for answer, code, said in (("n", 1, "goose: stopped"), ("y", 0, "deleted 3 pending jobs of greetings")):
            terminal.type("goose queue purge greetings")
            terminal.shows(r"3 pending jobs in greetings\. Delete them\? \[y/N\]")
            terminal.type(answer)
            assert said in terminal.ends(code)
    assert counts(goose, busy, "greetings") == {}


def test_a_misspelt_queue_names_the_near_one(goose: Goose, paid: Path) -> None:
    refused = goose(paid, "queue", "pause", "greeting", code=1).stderr
    assert "did you mean 'greetings'?" in refused
    assert refused.count("\n") == 1


def test_statistics_go_on_until_they_are_stopped(goose: Goose, busy: Path) -> None:
    watching = goose.begin(busy, "queue", "stats", "greetings", "--watch", "--json", "--interval", "0.1")
    assert watching.stdout is not None
    seen = (json.loads(line)["queues"]["greetings"] for line in watching.stdout)
    assert next(seen)["pending"] == 3
    goose(busy, "queue", "work", "--burst")
    assert next(queue["completed"] for queue in seen if not queue["pending"] and not queue["processing"]) == 3
    watching.terminate()
    assert watching.communicate(timeout=60)[1] == ""
    assert watching.returncode == 0


def test_the_store_is_measured_beside_what_waits(goose: Goose, busy: Path) -> None:
    before = {file.name for file in busy.iterdir()}
    found = json.loads(goose(busy, "queue", "bench", "--jobs", "50", "--json").stdout)
    assert found["url"].startswith("sqlite:///")
    assert all(rate["rate"] > 0 and rate["raw"] > 0 for rate in found["rates"].values())
    assert counts(goose, busy, "greetings") == {"pending": 3}
    assert {file.name for file in busy.iterdir() if "bench" in file.name} <= before
