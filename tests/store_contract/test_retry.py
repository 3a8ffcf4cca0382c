"""Retrying from outside: a failed or cancelled job goes back to its queue with its whole budget."""

from __future__ import annotations

import asyncio

import pytest

from goose_queues.clock import Clock
from goose_queues.errors import JobConflict, JobNotFound
from goose_queues.record import Cancelled, ClaimedJob, Completed, Failed, Retry
from goose_queues.store import Store
from store_contract.making import (
    ERROR,
    LEASE,
    MAX_DEATHS,
    claim,
    claim_one,
    ids,
    new_job,
    note_of,
    record_of,
    settle,
    statuses,
)


async def failed(store: Store, *, failures: int = 1) -> ClaimedJob:
    """The one job that is there, failed for good."""
    for _ in range(failures - 1):
        await settle(store, await claim_one(store), Retry(0, ERROR))
    job = await claim_one(store)
    await settle(store, job, Failed(ERROR, "no more"))
    return job


async def test_a_failed_job_is_due_at_once_with_its_whole_budget(store: Store, other: Store, clock: Clock) -> None:
    job = new_job(max_retries=3)
    await store.insert([job])
    await failed(store, failures=4)
    over = await record_of(store, job)
    assert (over.attempts, over.failures) == (4, 4)
    clock.offset += 1000
    await other.retry(job.id)
    record = await record_of(store, job)
    assert (record.status, record.failures, record.deaths, record.attempts) == ("pending", 0, 0, 4)
    assert (record.finished_at, record.note) == (None, None)
    assert record.error == ERROR, "of the latest failed attempt"
    assert record.available_at > over.available_at
    again = await claim_one(store)
    assert (again.id, again.attempt, again.failures, again.failed_with) == (job.id, 5, 0, None)
    await settle(store, again, Completed('"at last"'))
    assert (await record_of(store, job)).result == '"at last"'


async def test_a_cancelled_job_runs_after_all(store: Store) -> None:
    pending = new_job()
    await store.insert([pending])
    await store.cancel(pending.id, "a mistake")
    await store.retry(pending.id)
    assert await note_of(store, pending) is None
    running = await claim_one(store)
    await settle(store, running, Cancelled("why"))
    await store.retry(pending.id)
    assert (await claim_one(store)).attempt == 2


async def test_a_job_that_was_due_later_is_due_at_once(store: Store) -> None:
    job = new_job(delay=1000.0)
    await store.insert([job])
    await store.cancel(job.id, "a mistake")
    await store.retry(job.id)
    assert ids(await claim(store)) == [job.id]


async def test_a_job_that_killed_its_workers_has_all_its_lives_again(store: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    for _ in range(MAX_DEATHS):
        await claim_one(store)
        clock.offset += LEASE + 1
        await store.rescue(10, MAX_DEATHS)
    doomed = await claim_one(store)
    assert doomed.failed_with is not None
    await settle(store, doomed, Failed(doomed.failed_with))
    await store.retry(job.id)
    again = await claim_one(store)
    assert (again.attempt, again.deaths, again.failed_with) == (MAX_DEATHS + 1, 0, None)
    clock.offset += LEASE + 1
    assert (await store.rescue(10, MAX_DEATHS)).returned == 1
    assert (await record_of(store, job)).deaths == 1


async def test_it_takes_its_place_by_priority(store: Store) -> None:
    low, high = new_job(priority=1), new_job(priority=5)
    await store.insert([high])
    await failed(store)
    await store.insert([low])
    await store.retry(high.id)
    assert ids(await claim(store)) == [high.id, low.id]


async def test_counts_follow(store: Store) -> None:
    await store.insert([new_job()])
    job = await failed(store)
    await store.retry(job.id)
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.failed) == (1, 0)
    await store.cancel(job.id, "why")
    await store.retry(job.id)
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.cancelled) == (1, 0)


async def test_workers_are_told(store: Store) -> None:
    heard: list[frozenset[str]] = []
    await store.insert([new_job()])
    job = await failed(store)
    store.subscribe(heard.append)
    await store.retry(job.id)
    assert heard.pop(0) == {"default"}


async def test_the_holder_of_an_earlier_claim_holds_nothing(store: Store) -> None:
    await store.insert([new_job()])
    job = await failed(store)
    await store.retry(job.id)
    again = await claim_one(store)
    assert await settle(store, job, Completed()) == {job.id}
    assert await settle(store, again, Completed()) == frozenset()


async def test_what_has_not_failed_cannot_be_retried(store: Store) -> None:
    completed, running, pending, later = new_job(priority=9), new_job(priority=8), new_job(), new_job(delay=60.0)
    await store.insert([completed, running, pending, later])
    await settle(store, await claim_one(store), Completed())
    await claim_one(store)
    named = ("completed", "processing", "pending", "pending")
    for job, status in zip((completed, running, pending, later), named, strict=True):
        before = await record_of(store, job)
        with pytest.raises(JobConflict) as caught:
            await store.retry(job.id)
        assert str(caught.value) == f"job {job.id} is {status}: only a failed or cancelled job can be retried"
        assert (caught.value.status_code, caught.value.status) == (409, status)
        assert await record_of(store, job) == before


@pytest.mark.parametrize("text", ["", "abc", "x" * 1000, "\x00", "\ud800", "' OR 1=1 --", "%", "Ä"])
async def test_what_is_not_there_cannot_be_retried(store: Store, text: str) -> None:
    job = new_job()
    await store.insert([job])
    await store.cancel(job.id, "why")
    with pytest.raises(JobNotFound) as caught:
        await store.retry(text)
    assert (str(caught.value), caught.value.status_code) == ("no such job", 404)
    assert await statuses(store, [job]) == ["cancelled"]


async def test_two_clicks_are_one_retry(store: Store, other: Store) -> None:
    await store.insert([new_job()])
    job = await failed(store)
    done = await asyncio.gather(*(one.retry(job.id) for one in (store, other, store)), return_exceptions=True)
    assert [type(one) for one in done].count(JobConflict) == 2
    assert len((await claim(store)).jobs) == 1
