"""Workers that are told to stop, one after the other, with jobs in their hands: nothing is lost, and nothing runs twice."""

from __future__ import annotations

import goose
from checker import Dispatched, check
from faults.application import Step, application
from fleet import Fleet
from goose_queues import Client
from havoc import Havoc
from soak import size
from waiting import wait_until

RESTARTS = size(6, 20)
SLOTS = 8
LONG = 3
"""Jobs that do not end before the last restart."""


async def test_rolling_restarts(fleet: Fleet) -> None:
    """Jobs are finished by who has begun them; those that take longer than a stop are given back, attempt refunded."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        queue = kernel.get(Client)
        havoc = Havoc(fleet, 2, slots=SLOTS, GOOSE_QUEUES_SHUTDOWN_TIMEOUT="0.5")
        await havoc.ready()
        gate = fleet.folder / "gate"
        long = await queue.dispatch_many(Step(gate=str(gate)) for _ in range(LONG)).priority(9)
        short, in_hand = [], []
        for _ in range(RESTARTS):
            short += await queue.dispatch_many(Step(seconds=0.05) for _ in range(SLOTS * 8))
            in_hand.append(await restart(fleet, havoc))
        gate.with_suffix(".1").touch()
        await wait_until(fleet.is_over, deadline=120)
    assert await havoc.dismiss() == [0] * (RESTARTS + 2), fleet.log.read_text()

    history = fleet.history(dict.fromkeys((job.id for job in (*long, *short)), Dispatched()))
    assert check(history) == []
    print(f"{len(long) + len(short)} jobs, running at each of {RESTARTS} stops: {in_hand}")
    ends = fleet.ledger.by_job("end")
    interrupted = {job for job, entries in ends.items() if entries[0].outcome == "interrupted"}
    assert interrupted == {job.id for job in long}
    starts = fleet.ledger.by_job("start")
    assert {job for job, entries in starts.items() if len(entries) > 1} == interrupted
    waits = [
        after.at - before.at for job in interrupted for before, after in zip(ends[job], starts[job][1:], strict=False)
    ]
    assert max(waits) <= 2, "given back late"
    assert {ending.attempts for ending in history.endings.values()} == {1}


async def restart(fleet: Fleet, havoc: Havoc) -> int:
    """Have a worker stop that is well at work, and wait until it has; how many jobs it ran at that moment."""
    worker = havoc.workers[0]
    await wait_until(lambda: fleet.running(worker) >= SLOTS // 2)
    in_hand = fleet.running(worker)
    havoc.stop()
    await wait_until(lambda: worker.poll() is not None)
    return in_hand
