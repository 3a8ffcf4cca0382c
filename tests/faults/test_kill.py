"""Worker processes that are killed: nothing is lost, and only what they held runs again."""

from __future__ import annotations

import signal
from typing import Any

from fleet import Fleet
from waiting import wait_until

LEASE = 5.0
JOBS = 5000


async def test_each_job_runs_once(fleet: Fleet) -> None:
    """Two workers and a web process on one file: each of 5,000 jobs runs once, and both workers have their share."""
    async with fleet.serve(workers=0) as http:
        workers = [fleet.start("worker", workers=16) for _ in range(2)]
        ids = (await http.post(f"/steps/{JOBS}")).json()
        await wait_until(lambda: _completed(http, JOBS), deadline=120)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(60) for worker in workers] == [0, 0]
    starts, ends = fleet.ledger.by_job("start"), fleet.ledger.by_job("end")
    assert set(starts) == set(ends) == set(ids)
    assert all(len(entries) == 1 for entries in (*starts.values(), *ends.values()))
    assert {entry.pid for entry in fleet.ledger.read()} == {worker.pid for worker in workers}


async def test_kill_in_the_middle(fleet: Fleet) -> None:
    """After kill -9 of one of two workers none of 5,000 jobs is lost; those in flight run again within the lease + 2 s."""
    async with fleet.serve(workers=0) as http:
        victim, survivor = (fleet.start("worker", workers=16) for _ in range(2))
        ids = (await http.post(f"/steps/{JOBS}")).json()
        await wait_until(lambda: _has_run(fleet, victim.pid, JOBS // 20), deadline=60)
        victim.kill()
        victim.wait()
        await wait_until(lambda: _completed(http, JOBS), deadline=120)
    starts, ends = fleet.ledger.by_job("start"), fleet.ledger.by_job("end")
    assert set(ends) == set(ids), "lost jobs"
    held = {job for job, entries in starts.items() if entries[0].pid == victim.pid}
    again = {job for job, entries in starts.items() if len(entries) > 1}
    in_flight = {job for job in held if not any(entry.pid == victim.pid for entry in ends.get(job, []))}
    assert in_flight, "the kill hit nothing"
    assert in_flight <= again <= held
    died = max(entry.at for entry in fleet.ledger.read() if entry.pid == victim.pid)
    for job in again:
        first, second = starts[job]
        assert (second.pid, second.attempt) == (survivor.pid, first.attempt + 1)
        assert second.at - died <= LEASE + 2


async def _completed(http: Any, count: int) -> bool:
    pending, processing, completed, failed = (await http.get("/stats")).json()["steps"]
    assert failed == 0
    return bool(pending == processing == 0 and completed == count)


def _has_run(fleet: Fleet, pid: int, count: int) -> bool:
    return sum(entry.pid == pid and entry.event == "end" for entry in fleet.ledger.read()) >= count
