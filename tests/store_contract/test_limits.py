"""A queue's limit holds for the whole fleet, and is derived from the leases that live."""

from __future__ import annotations

import asyncio

import pytest

from goose_queues.clock import Clock
from goose_queues.record import Cancelled, Claim, ClaimedJob, Completed, Failed, Outcome, Released, Retry, Snoozed
from goose_queues.store import Store
from store_contract.making import ERROR, LEASE, MAX_DEATHS, QUEUE, claim, new_job, settle


async def take(store: Store, most: int, *, limit: int = 10, queue: str = QUEUE) -> tuple[ClaimedJob, ...]:
    """Claim under a limit of the fleet: ``most`` at once."""
    return (await store.claim(Claim(queue, frozenset({"Work"}), limit, LEASE, "a-worker", None, most))).jobs


async def test_no_more_than_the_limit_run_whoever_claims(store: Store, other: Store) -> None:
    await store.insert([new_job() for _ in range(10)])
    assert len(await take(store, 3, limit=2)) == 2
    assert len(await take(other, 3)) == 1
    assert await take(store, 3) == await take(other, 3) == ()


async def test_many_claims_at_once_stay_under_the_limit(store: Store, other: Store) -> None:
    await store.insert([new_job() for _ in range(100)])
    taken = await asyncio.gather(*(take(one, 7, limit=2) for one in (store, other) * 10))
    assert sum(map(len, taken)) == 7


@pytest.mark.parametrize(
    "outcome",
    [Completed(), Failed(ERROR), Cancelled("why"), Retry(60, ERROR), Snoozed(delay=60), Released()],
    ids=lambda it: type(it).__name__,
)
async def test_every_end_of_an_attempt_frees_its_slot(store: Store, outcome: Outcome) -> None:
    await store.insert([new_job() for _ in range(3)])
    (job,) = await take(store, 1)
    assert await take(store, 1) == ()
    await settle(store, job, outcome)
    assert len(await take(store, 1)) == 1
    assert await take(store, 1) == ()


async def test_a_dead_workers_slot_is_free_when_its_lease_has_ended(store: Store, other: Store, clock: Clock) -> None:
    await store.insert([new_job() for _ in range(5)])
    await take(store, 2)
    clock.offset += LEASE - 1
    assert await take(other, 2) == ()
    clock.offset += 2
    assert len(await take(other, 2)) == 2, "before any rescue"
    await store.rescue(10, MAX_DEATHS)
    assert await take(other, 2) == ()


async def test_an_extended_lease_keeps_its_slot(store: Store, other: Store, clock: Clock) -> None:
    await store.insert([new_job() for _ in range(3)])
    (job,) = await take(store, 1)
    for _ in range(3):
        clock.offset += LEASE / 2
        assert await asyncio.to_thread(store.extend, {job.id: job.token}, LEASE) == frozenset()
        assert await take(other, 1) == ()
    clock.offset += LEASE + 1
    assert len(await take(other, 1)) == 1


async def test_more_may_run_already_than_a_new_limit_allows(store: Store) -> None:
    await store.insert([new_job() for _ in range(10)])
    running = (await claim(store, 5)).jobs
    assert await take(store, 3) == ()
    for job in running[:2]:
        await settle(store, job, Completed())
    assert await take(store, 3) == ()
    await settle(store, running[2], Completed())
    assert len(await take(store, 3)) == 1


async def test_a_limit_is_of_one_queue(store: Store) -> None:
    await store.insert([new_job() for _ in range(2)] + [new_job(queue="emails") for _ in range(2)])
    assert len(await take(store, 1)) == 1
    assert len(await take(store, 1, queue="emails")) == 1
    assert await take(store, 1) == ()


async def test_under_a_limit_the_order_stays(store: Store) -> None:
    jobs = [new_job(priority=priority) for priority in (1, 7, 3, 9, 5)]
    await store.insert(jobs)
    taken: list[int] = []
    while claimed := await take(store, 2):
        taken += [job.priority for job in claimed]
        for job in claimed:
            await settle(store, job, Completed())
    assert taken == [9, 7, 5, 3, 1]


async def test_a_limit_that_leaves_no_room_still_says_when_the_next_job_is_due(store: Store) -> None:
    await store.insert([new_job(), new_job(), new_job(delay=40.0)])
    await take(store, 1)
    full = await store.claim(Claim(QUEUE, frozenset({"Work"}), 10, LEASE, "a-worker", None, 1))
    assert full.jobs == ()
    assert full.next_due is not None
    assert 30 < full.next_due <= 40
