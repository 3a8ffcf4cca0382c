"""``goose queue work``: works off the jobs of a generated application."""

from __future__ import annotations

import json
from pathlib import Path

from end_to_end.installed import Goose

DISPATCH = """
import asyncio, goose
from goose_queues import Client
from app.jobs.send_greeting import SendGreeting
from main import app

async def dispatch() -> None:
    async with goose.running(app) as kernel:
        for name in ("Ada", "Grace", "Mary"):
            await kernel.get(Client).dispatch(SendGreeting(to=name))

asyncio.run(dispatch())
"""


def test_a_worker_runs_what_is_due_and_ends(goose: Goose, shop: Path) -> None:
    (shop / "dispatch.py").write_text(DISPATCH)
    goose.module(shop, "dispatch.py")
    assert counts(goose, shop) == {"pending": 3, "completed": 0}
    assert "greeted: Hello, Grace!" in goose(shop, "queue", "work", "--burst").stderr
    assert counts(goose, shop) == {"pending": 0, "completed": 3}


def counts(goose: Goose, shop: Path) -> dict[str, int]:
    stats = json.loads(goose(shop, "queue", "stats", "--json").stdout)["greetings"]
    return {name: stats[name] for name in ("pending", "completed")}


def test_a_worker_stops_on_sigterm(goose: Goose, shop: Path) -> None:
    (shop / "dispatch.py").write_text(DISPATCH)
    with goose.running(shop, "queue", "work") as worker:
        goose.module(shop, "dispatch.py")
        worker.says("greeted: Hello, Mary!")
        assert worker.stop() == 0
    assert "Traceback" not in worker.log
