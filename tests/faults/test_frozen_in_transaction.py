"""A worker that stands still in the middle of a transaction: the server lets go of what it has locked."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import URL

import goose
from faults.paused import Held, application
from fleet import Fleet
from goose_queues import Client
from quick_fleet import QuickFleet
from waiting import wait_until

JOBS = 4
IDLE = 10.0
"""Seconds that a transaction may stand still."""


@pytest.fixture
def fleet(tmp_path: Path, url: URL | None) -> Iterator[Fleet]:
    fleet = QuickFleet(tmp_path, "faults.paused", url=url)
    yield fleet
    fleet.end()


# MariaDB has a limit for a transaction that stands still, MySQL none.
@pytest.mark.parametrize("url", ["postgres", "mysql"], indirect=True)
async def test_locks_end(fleet: Fleet) -> None:
    """Jobs that a frozen rescuer has locked are rescued by somebody else, and the frozen one goes on when it wakes up."""
    async with goose.running(application(fleet.url, fleet.ledger.path)) as kernel:
        ids = {handle.id for handle in await kernel.get(Client).dispatch_many(Held() for _ in range(JOBS))}
        victim = fleet.start()
        await wait_until(lambda: len(fleet.ledger.by_job("start")) == JOBS)
        fleet.kill(victim)
        fleet.hand.lapse()
        frozen = fleet.start("rescue.selected", "1", "SIGSTOP")
        await wait_until(lambda: psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED)
        fleet.ledger.path.with_name("go").touch()
        other = fleet.start()
        await wait_until(lambda: ended_by(fleet, other.pid) == ids, deadline=IDLE + 20)
        await wait_until(fleet.is_over)
        frozen.send_signal(signal.SIGCONT)
        other.kill()
        other.wait()
        later = await kernel.get(Client).dispatch(Held())
        await wait_until(lambda: later.id in ended_by(fleet, frozen.pid))
    assert {job.attempts for job in fleet.hand.jobs() if job.id != later.id} == {2}
    assert "Traceback" not in fleet.log.read_text()


def ended_by(fleet: Fleet, pid: int) -> set[str]:
    return {entry.job for entry in fleet.ledger.read() if entry.event == "end" and entry.pid == pid}
