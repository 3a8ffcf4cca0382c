"""Workers whose clocks are a day apart: the server's clock counts, so that nothing is early, lost, or taken for dead."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

import goose
from checker import Dispatched, attempts_in_flight, check
from faults.application import RETRY_DELAY, Seed, Step, application
from fleet import Fleet
from goose_queues import Client
from ledger import AHEAD
from servers.shared import SERVERS
from soak import size
from waiting import wait_until

DAY = 86_400
LEASE = size(2.0, 10.0)
DELAYS = (0.0, 0.2, 0.35, 0.5)
SEEDS = 4
LATE = 60.0
"""Seconds after which what was due in a moment would be due by another clock."""


@pytest.mark.parametrize("url", SERVERS, indirect=True)
async def test_clocks_a_day_apart(fleet: Fleet, url: URL) -> None:
    """Delays and retries are kept whoever has dispatched them, long jobs keep their leases, and the dead lose theirs."""
    fleet.lease = LEASE
    ahead, right, behind = (
        fleet.start("worker", workers=4, SHORT_LEASE=str(LEASE), **{AHEAD: str(seconds)}) for seconds in (DAY, 0, -DAY)
    )
    workers = (ahead, right, behind)
    await wait_until(lambda: {entry.pid for entry in fleet.ledger.read()} >= {worker.pid for worker in workers})
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        queue = kernel.get(Client)
        seeds = await queue.dispatch_many(
            Seed(delays=DELAYS, by_delay=True, gate=gate(fleet)) for _ in range(3 * SEEDS)
        )
        failing = await queue.dispatch_many(Step(failing=(1,)) for _ in range(2 * SEEDS))
        long = await queue.dispatch_many(Step(seconds=1.5 * LEASE) for _ in range(2 * SEEDS))
        await wait_until(lambda: len(fleet.ledger.by_job("dispatched")) == 3 * SEEDS * len(DELAYS), deadline=LATE)
        (fleet.folder / "gate.1").touch()
        await wait_until(fleet.is_over, deadline=LATE)
        dead = await queue.dispatch_many(Step(gate=gate(fleet, "dead")) for _ in range(10))
        await wait_until(lambda: all(map(fleet.running, workers)))
        fleet.kill(ahead)
        fleet.kill(right)
        for attempt in (1, 2):
            (fleet.folder / f"dead.{attempt}").touch()
        await wait_until(fleet.is_over, deadline=LATE)
    facts = dict.fromkeys((job.id for job in (*seeds, *long, *dead)), Dispatched())
    facts |= {job.id: Dispatched(retry_delay=RETRY_DELAY) for job in failing}
    history = fleet.history(facts)
    assert check(history) == []
    assert sum(attempts_in_flight(history)) > 0, "the kills hit nothing"
    by_worker = {entry.pid for entry in history.entries if entry.event == "dispatched"}
    assert by_worker == {worker.pid for worker in workers}
    attempts = fleet.endings()
    assert {attempts[job.id].attempts for job in long} == {1}
    assert {attempts[job.id].attempts for job in failing} == {2}


def gate(fleet: Fleet, name: str = "gate") -> str:
    return str(fleet.folder / name)
