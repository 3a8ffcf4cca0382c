"""Worker processes that are killed, or not: nothing is lost, and only what a dead one held runs again."""

from __future__ import annotations

import signal
from typing import Any

from checker import Dispatched, attempts_in_flight, check
from faults.application import LEASE
from fleet import Fleet
from soak import size
from waiting import wait_until

JOBS = size(1500, 20_000)


async def test_each_job_runs_once(fleet: Fleet) -> None:
    """Two workers and a web process on one file: each job runs once, and both workers have their share."""
    async with fleet.serve(workers=0) as http:
        workers = [fleet.start("worker", workers=16) for _ in range(2)]
        ids = (await http.post(f"/steps/{JOBS}")).json()
        await wait_until(lambda: _completed(http, JOBS), deadline=300)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(60) for worker in workers] == [0, 0]
    assert check(fleet.history(dict.fromkeys(ids, Dispatched()))) == []
    starts = fleet.ledger.by_job("start")
    assert set(starts) == set(ids)
    assert all(len(entries) == 1 for entries in starts.values())
    assert {entries[0].pid for entries in starts.values()} == {worker.pid for worker in workers}


async def test_kill_in_the_middle(fleet: Fleet) -> None:
    """After kill -9 of one of two workers none of the jobs is lost; those in flight run again within the lease + 2 s."""
    async with fleet.serve(workers=0) as http:
        victim, survivor = (fleet.start("worker", workers=16) for _ in range(2))
        ids = (await http.post(f"/steps/{JOBS}")).json()
        await wait_until(lambda: _has_run(fleet, victim.pid, JOBS // 20), deadline=60)
        fleet.kill(victim)
        await wait_until(lambda: _completed(http, JOBS), deadline=300)
    history = fleet.history(dict.fromkeys(ids, Dispatched()))
    assert check(history) == []
    assert attempts_in_flight(history) > [0], "the kill hit nothing"
    starts = fleet.ledger.by_job("start")
    again = {job: entries for job, entries in starts.items() if len(entries) > 1}
    assert again
    died = fleet.faults[0].over
    for first, second in again.values():
        assert (first.pid, second.pid) == (victim.pid, survivor.pid)
        assert second.at - died <= LEASE + 2


async def _completed(http: Any, count: int) -> bool:
    pending, processing, completed, failed = (await http.get("/stats")).json()["steps"]
    assert failed == 0
    return bool(pending == processing == 0 and completed == count)


def _has_run(fleet: Fleet, pid: int, count: int) -> bool:
    return sum(entry.pid == pid and entry.event == "end" for entry in fleet.ledger.read()) >= count
