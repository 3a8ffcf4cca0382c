"""Retry, snooze and release: the ways in which a claimed job goes back to its queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from goose_queues.clock import Clock
from goose_queues.record import Completed, Failed, Released, Retry, Snoozed
from goose_queues.store import Store
from store_contract.making import ERROR, claim, claim_one, new_job, settle


async def test_a_retry_waits_at_least_its_delay(store: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    await settle(store, await claim_one(store), Retry(10.0, ERROR, "first try"))
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.attempts, record.failures) == ("pending", 1, 1)
    assert (record.error, record.note, record.finished_at) == (ERROR, "first try", None)
    clock.offset += 9.5
    assert (await claim(store)).jobs == ()
    clock.offset += 0.5
    again = await claim_one(store)
    assert (again.attempt, again.failures) == (2, 1)
    assert again.failed_with is None


async def test_a_retry_without_delay_is_there_at_once(store: Store, other: Store) -> None:
    await store.insert([new_job()])
    await settle(store, await claim_one(store), Retry(0, ERROR))
    assert (await claim_one(other)).attempt == 2


async def test_the_error_of_a_failed_attempt_stays_after_one_that_succeeds(store: Store) -> None:
    job = new_job()
    await store.insert([job])
    await settle(store, await claim_one(store), Retry(0, ERROR))
    await settle(store, await claim_one(store), Completed())
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.error, record.attempts) == ("completed", ERROR, 2)


async def test_every_failure_is_counted_to_the_last(store: Store) -> None:
    job = new_job(max_retries=3)
    await store.insert([job])
    for _ in range(3):
        await settle(store, await claim_one(store), Retry(0, ERROR))
    last = await claim_one(store)
    assert (last.attempt, last.failures) == (4, 3)
    await settle(store, last, Failed(ERROR))
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.attempts, record.failures) == ("failed", 4, 4)


async def test_a_snooze_refunds_the_attempt(store: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    await settle(store, await claim_one(store), Snoozed(delay=60.0))
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.attempts, record.failures) == ("pending", 0, 0)
    assert (await claim(store)).jobs == ()
    clock.offset += 61
    assert (await claim_one(store)).attempt == 1


async def test_a_snooze_until_a_time_comes_back_then(store: Store, clock: Clock) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    job = new_job()
    await store.insert([job])
    await settle(store, await claim_one(store), Snoozed(until=until))
    record = await store.get(job.id)
    assert record is not None
    assert record.available_at == until
    clock.offset += 3590
    assert (await claim(store)).jobs == ()
    clock.offset += 11
    assert (await claim_one(store)).id == job.id


async def test_a_released_job_is_visible_to_others_at_once_and_first_in_line(store: Store, other: Store) -> None:
    first, second = new_job(), new_job()
    await store.insert([first])
    claimed = await claim_one(store)
    await store.insert([second])
    assert await settle(store, claimed, Released()) == frozenset()
    record = await store.get(first.id)
    assert record is not None
    assert (record.status, record.attempts, record.failures, record.deaths) == ("pending", 0, 0, 0)
    again = await claim_one(other)
    assert (again.id, again.attempt) == (first.id, 1)


async def test_waiting_retries_and_snoozes_count_as_scheduled(store: Store, clock: Clock) -> None:
    await store.insert([new_job(), new_job(), new_job()])
    retried, snoozed, released = (await claim(store)).jobs
    await settle(store, retried, Retry(10.0, ERROR))
    await settle(store, snoozed, Snoozed(delay=20.0))
    await settle(store, released, Released())
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled, stats.processing) == (1, 2, 0)
    clock.offset += 11
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled) == (2, 1)
    assert len((await claim(store)).jobs) == 2
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled, stats.processing) == (0, 1, 2)
