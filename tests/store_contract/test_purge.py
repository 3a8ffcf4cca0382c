"""Purging a queue deletes what is pending there, and nothing else."""

from __future__ import annotations

import asyncio

from goose_queues.clock import Clock
from goose_queues.record import Cancelled, Completed, Failed, QueueStats, Retry
from goose_queues.store import Store
from store_contract.making import ERROR, calls, claim, claim_one, new_batch, new_chain, new_job, settle, statuses


async def test_only_what_is_pending_goes(store: Store) -> None:
    ended = [new_job(priority=9) for _ in range(3)]
    running, pending, later = new_job(priority=5), new_job(), new_job(delay=60.0)
    await store.insert([*ended, running, pending, later])
    for outcome in (Completed(), Failed(ERROR), Cancelled("why")):
        await settle(store, await claim_one(store), outcome)
    job = await claim_one(store)
    assert (await store.purge("default", 100)).deleted == 2
    assert await statuses(store, [*ended, running, pending, later]) == [
        "completed",
        "failed",
        "cancelled",
        "processing",
        None,
        None,
    ]
    assert (await store.stats())["default"] == QueueStats(processing=1, completed=1, failed=1, cancelled=1)
    assert await settle(store, job, Completed()) == frozenset()


async def test_a_retry_that_waits_is_pending(store: Store) -> None:
    await store.insert([new_job()])
    await settle(store, await claim_one(store), Retry(60, ERROR))
    assert (await store.purge("default", 100)).deleted == 1
    assert await store.stats() == {"default": QueueStats()} or await store.stats() == {}


async def test_other_queues_are_left_alone(store: Store) -> None:
    mine, theirs = new_job(), new_job(queue="emails")
    await store.insert([mine, theirs])
    assert (await store.purge("nobody", 100)).deleted == 0
    assert (await store.purge("default", 100)).deleted == 1
    assert await statuses(store, [mine, theirs]) == [None, "pending"]


async def test_no_more_than_the_limit_at_once(store: Store, clock: Clock) -> None:
    await store.insert([new_job() for _ in range(5)] + [new_job(delay=10.0) for _ in range(5)] + new_chain(6))
    clock.offset += 11
    assert (await store.purge("default", 7)).deleted == 7
    stats = (await store.stats())["default"]
    assert stats.pending + stats.scheduled + stats.cancelled == 9
    left = stats.pending + stats.scheduled
    assert (await store.purge("default", 7)).deleted == min(left, 7)
    assert (await store.purge("default", 100)).deleted == max(left - 7, 0)
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled) == (0, 0)
    assert (await claim(store)).jobs == ()


async def test_a_paused_queue_can_be_purged_and_stays_paused(store: Store) -> None:
    await store.insert([new_job()])
    await store.pause("default")
    assert (await store.purge("default", 100)).deleted == 1
    assert (await store.stats())["default"] == QueueStats(paused=True)


async def test_a_purge_and_claims_at_once_leave_one_truth(store: Store, other: Store) -> None:
    jobs = [new_job() for _ in range(200)]
    await store.insert(jobs)

    async def purge() -> int:
        total = 0
        while deleted := (await store.purge("default", 7)).deleted:
            total += deleted
        return total

    async def take() -> int:
        taken = 0
        while claimed := (await claim(other, 5)).jobs:
            taken += len(claimed)
        return taken

    purged, taken = await asyncio.gather(purge(), take())
    assert purged + taken == 200
    assert (await statuses(store, jobs)).count("processing") == taken
    assert (await store.stats())["default"].processing == taken


async def test_what_a_chunk_brings_about_is_not_purged_by_the_next(store: Store) -> None:
    members, batch = new_batch(3, "then", "finally")
    await store.insert(members, batches=[batch])
    first = await store.purge("default", 3)
    assert (first.deleted, first.cursor is not None) == (3, True)
    await store.insert([new_job()])
    second = await store.purge("default", 3, first.cursor)
    assert (second.deleted, second.cursor) == (0, None)
    assert await calls(store) == ["finally"]
