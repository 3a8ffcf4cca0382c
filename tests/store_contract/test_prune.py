"""Old finished jobs go, and nothing else."""

from __future__ import annotations

from goose_queues.clock import Clock
from goose_queues.record import Cancelled, Completed, Failed, Settlement
from goose_queues.store import Store
from store_contract.making import ERROR, claim, claim_one, new_job, settle

WEEK = 7 * 24 * 3600.0


async def test_only_what_finished_before_the_retention_goes(store: Store, clock: Clock) -> None:
    old, young = new_job(), new_job()
    await store.insert([old])
    await settle(store, await claim_one(store), Completed())
    clock.offset += WEEK - 10
    await store.insert([young])
    await settle(store, await claim_one(store), Completed())
    assert (await store.prune(WEEK, 100)).deleted == 0
    clock.offset += 11
    assert (await store.prune(WEEK, 100)).deleted == 1
    assert await store.get(old.id) is None
    assert await store.get(young.id) is not None
    assert (await store.stats())["default"].completed == 1


async def test_all_finished_states_and_queues_are_pruned(store: Store, clock: Clock) -> None:
    await store.insert([new_job(), new_job(), new_job(), new_job(queue="emails")])
    outcomes = (Completed(), Failed(ERROR), Cancelled("why"))
    jobs = [*(await claim(store)).jobs, *(await claim(store, queue="emails")).jobs]
    await store.settle([Settlement(job, outcome) for job, outcome in zip(jobs, (*outcomes, Completed()), strict=True)])
    clock.offset += WEEK + 1
    assert (await store.prune(WEEK, 100)).deleted == 4


async def test_what_is_not_finished_stays_however_old(store: Store, clock: Clock) -> None:
    running, pending, scheduled = new_job(priority=9), new_job(), new_job(delay=1.0e9)
    await store.insert([running, pending, scheduled])
    assert (await claim_one(store)).id == running.id
    clock.offset += 100 * WEEK
    assert (await store.prune(0, 100)).deleted == 0
    for job in (running, pending, scheduled):
        assert await store.get(job.id) is not None


async def test_a_chunk_is_no_larger_than_its_limit_and_takes_the_oldest(store: Store, clock: Clock) -> None:
    jobs = [new_job() for _ in range(5)]
    await store.insert(jobs)
    for _ in jobs:
        await settle(store, await claim_one(store), Completed())
        clock.offset += 1
    clock.offset += WEEK
    assert (await store.prune(WEEK, 3)).deleted == 3
    assert [await store.get(job.id) is None for job in jobs] == [True, True, True, False, False]
    assert (await store.prune(WEEK, 3)).deleted == 2
    assert (await store.prune(WEEK, 3)).deleted == 0
