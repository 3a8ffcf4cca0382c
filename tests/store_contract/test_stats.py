"""Counts of every queue at one moment."""

from __future__ import annotations

from goose_queues.clock import Clock
from goose_queues.record import Cancelled, Completed, Failed, QueueStats
from goose_queues.store import Store
from store_contract.making import ERROR, claim_one, new_job, settle


async def test_an_empty_store_has_no_queues(store: Store) -> None:
    assert await store.stats() == {}


async def test_every_state_is_counted_per_queue(store: Store) -> None:
    await store.insert([new_job() for _ in range(6)])
    await store.insert([new_job(delay=60.0), new_job(delay=90.0), new_job(queue="emails", delay=60.0)])
    await settle(store, await claim_one(store), Completed())
    await settle(store, await claim_one(store), Failed(ERROR))
    await settle(store, await claim_one(store), Cancelled("why"))
    await claim_one(store)
    stats = await store.stats()
    assert set(stats) == {"default", "emails"}
    assert stats["emails"] == QueueStats(scheduled=1)
    default = stats["default"]
    assert (default.pending, default.scheduled, default.processing) == (2, 2, 1)
    assert (default.completed, default.failed, default.cancelled) == (1, 1, 1)
    assert default.paused is False


async def test_the_oldest_pending_is_the_one_due_for_longest_whatever_its_priority(store: Store, clock: Clock) -> None:
    oldest = new_job(priority=-10)
    await store.insert([oldest])
    clock.offset += 100
    await store.insert([new_job(priority=5), new_job(priority=7)])
    record = await store.get(oldest.id)
    assert record is not None
    assert (await store.stats())["default"].oldest_pending_at == record.available_at


async def test_the_oldest_pending_may_be_one_that_has_just_come_due(store: Store, clock: Clock) -> None:
    scheduled = new_job(delay=10.0)
    await store.insert([scheduled])
    assert (await store.stats())["default"].oldest_pending_at is None
    clock.offset += 60
    await store.insert([new_job()])
    record = await store.get(scheduled.id)
    assert record is not None
    assert (await store.stats())["default"].oldest_pending_at == record.available_at


async def test_nothing_pending_has_no_oldest(store: Store) -> None:
    await store.insert([new_job()])
    await claim_one(store)
    assert (await store.stats())["default"].oldest_pending_at is None


async def test_a_links_turn_counts_as_scheduled(store: Store) -> None:
    chain = "0198-chain"
    await store.insert([new_job(chain_id=chain, position=0), new_job(chain_id=chain, position=1)])
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled) == (1, 1)
    assert (await claim_one(store)).position == 0
