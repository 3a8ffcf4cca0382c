"""A worker that sleeps through its lease and wakes up again: what it still does counts for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

import goose
from faults.paused import Held, Step, application
from fleet import Fleet
from goose_queues import Client
from quick_fleet import QuickFleet
from waiting import wait_until

JOBS = 4


@pytest.fixture
def fleet(tmp_path: Path, url: URL | None) -> Iterator[Fleet]:
    fleet = QuickFleet(tmp_path, "faults.paused", url=url)
    yield fleet
    fleet.end()


async def test_late_results_of_a_frozen_worker_are_refused(fleet: Fleet) -> None:
    """Its jobs run elsewhere and complete there; waking up, it writes nothing, and then claims again."""
    async with goose.running(application(fleet.url, fleet.ledger.path)) as kernel:
        queue = kernel.get(Client)
        zombie = fleet.start()
        ids = {handle.id for handle in await queue.dispatch_many(Held() for _ in range(JOBS))}
        await wait_until(lambda: set(fleet.ledger.by_job("start")) == ids)
        fleet.freeze(zombie)
        try:
            fleet.hand.lapse()
            fleet.ledger.path.with_name("go").touch()
            other = fleet.start()
            await wait_until(lambda: ended_by(fleet, other.pid) == ids)
            await wait_until(lambda: is_settled(queue))
        finally:
            fleet.thaw(zombie)
        before = [await queue.get_status(job_id) for job_id in sorted(ids)]
        assert [(status.result, status.attempts) for status in before] == [(other.pid, 2)] * JOBS
        other.kill()
        other.wait()
        await wait_until(lambda: all(f"the lease of job {i} was lost" in fleet.log.read_text() for i in ids))
        later = await queue.dispatch(Step(label="later"))
        await wait_until(lambda: later.id in ended_by(fleet, zombie.pid))
        assert [await queue.get_status(job_id) for job_id in sorted(ids)] == before


def ended_by(fleet: Fleet, pid: int) -> set[str]:
    return {entry.job for entry in fleet.ledger.read() if entry.event == "end" and entry.pid == pid}


async def is_settled(queue: Client) -> bool:
    return (await queue.stats())["held"].completed == JOBS
