"""Workers that are told to stop, one after the other, with jobs in their hands: nothing is lost, and nothing runs twice."""

from __future__ import annotations

import goose
from checker import Dispatched, check
from faults.application import Step, application
from fleet import Fleet, Process
from goose_queues import Client
from havoc import Havoc
from soak import size
from waiting import wait_until

RESTARTS = size(6, 20)
SLOTS = 8


async def test_rolling_restarts(fleet: Fleet) -> None:
    """Jobs are finished by who has begun them; those that take longer than a stop are given back, attempt refunded."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        queue = kernel.get(Client)
        havoc = Havoc(fleet, 2, slots=SLOTS, GOOSE_QUEUES_SHUTDOWN_TIMEOUT="0.5")
        await havoc.ready()
        long, short, in_hand = [], [], []
        for _ in range(RESTARTS):
            long.append(await queue.dispatch(Step(seconds=60, once=True)).priority(9))
            short += await queue.dispatch_many(Step(seconds=0.05) for _ in range(SLOTS * 8))
            in_hand.append(await restart(fleet, havoc))
        await wait_until(fleet.is_over, deadline=120)
    assert await havoc.dismiss() == [0] * (RESTARTS + 2), fleet.log.read_text()

    history = fleet.history(dict.fromkeys((job.id for job in (*long, *short)), Dispatched()))
    assert check(history) == []
    print(f"{len(long) + len(short)} jobs, running at each of {RESTARTS} stops: {in_hand}")
    ends = fleet.ledger.by_job("end")
    interrupted = {job for job, entries in ends.items() if entries[0].outcome == "interrupted"}
    assert interrupted <= {job.id for job in long}
    assert interrupted, "no stop hit a job that takes longer"
    starts = fleet.ledger.by_job("start")
    assert {job for job, entries in starts.items() if len(entries) > 1} == interrupted
    assert all(starts[job][1].at - ends[job][0].at <= 2 for job in interrupted), "given back late"
    assert {ending.attempts for ending in history.endings.values()} == {1}


async def restart(fleet: Fleet, havoc: Havoc) -> int:
    """Have a worker stop that is well at work, and wait until it has; how many jobs it ran at that moment."""
    worker = havoc.workers[0]
    await wait_until(lambda: running(fleet, worker) >= SLOTS // 2)
    in_hand = running(fleet, worker)
    havoc.stop()
    await wait_until(lambda: worker.poll() is not None)
    return in_hand


def running(fleet: Fleet, process: Process) -> int:
    """How many attempts run in a process now."""
    events = [entry.event for entry in fleet.ledger.read() if entry.pid == process.pid]
    return events.count("start") - events.count("end")
