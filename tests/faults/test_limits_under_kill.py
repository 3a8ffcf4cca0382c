"""A queue of which the whole fleet runs only a few jobs at once, while its workers are killed."""

from __future__ import annotations

import goose
from checker import Dispatched, attempts_in_flight, check
from faults.application import LEASE, Limited, application
from fleet import Fleet
from goose_queues import Client, JobHandle
from havoc import Havoc
from soak import SOAK, size
from waiting import wait_until

LIMIT = 3
JOBS = size(90, 250)
EVERY = size(0.5, 1.0)
KILLS = size(3, 10)
LIMITED = {"GOOSE_QUEUES_LIMITS": f'{{"limited": {LIMIT}}}'}


async def test_never_more_than_the_limit(fleet: Fleet) -> None:
    """Three workers with room for 24 run three jobs at a time, the dead one's leases included, and all of them in the end."""
    jobs = await dispatched(fleet, [Limited(seconds=0.1) for _ in range(JOBS)])
    havoc = Havoc(fleet, 3, slots=8, **LIMITED)
    await havoc.ready()
    async with havoc.kills(EVERY):
        await wait_until(fleet.is_over, deadline=600)
    assert await havoc.dismiss() == [0, 0, 0], fleet.log.read_text()
    history = fleet.history(
        dict.fromkeys((job.id for job in jobs), Dispatched(queue="limited")), limits={"limited": LIMIT}
    )
    assert check(history) == []
    hits = attempts_in_flight(history)
    print(f"{len(hits)} kills, in flight at each {hits}")
    assert len(hits) >= KILLS
    assert sum(hits) > 0, "the kills hit nothing"


async def test_the_slot_of_the_dead_comes_back(fleet: Fleet) -> None:
    """When a worker dies with all slots of a limit, others go on within 2 s of the end of its leases, and not before."""
    held = [Limited(gate=str(fleet.folder / "gate")) for _ in range(LIMIT)]
    jobs = await dispatched(fleet, [*held, *(Limited() for _ in range(LIMIT))])
    victim = fleet.start("worker", workers=8, **LIMITED)
    await wait_until(lambda: len(fleet.ledger.by_job("start")) == LIMIT)
    havoc = Havoc(fleet, 1, slots=8, **LIMITED)
    await havoc.ready()
    fleet.kill(victim)
    if not SOAK:
        fleet.end_leases(victim)
    (fleet.folder / "gate.2").touch()
    await wait_until(fleet.is_over)
    assert await havoc.dismiss() == [0], fleet.log.read_text()
    history = fleet.history(
        dict.fromkeys((job.id for job in jobs), Dispatched(queue="limited")), limits={"limited": LIMIT}
    )
    assert check(history) == []
    assert attempts_in_flight(history) == [LIMIT]
    (fault,) = fleet.faults
    first = min(entry.at for entry in history.entries if entry.event == "start" and entry.pid != victim.pid)
    assert first <= (fault.over + LEASE if fault.leases_end is None else fault.leases_end) + 2


async def dispatched(fleet: Fleet, jobs: list[Limited]) -> list[JobHandle]:
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        return await kernel.get(Client).dispatch_many(jobs)
