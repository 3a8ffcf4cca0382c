"""Cancelling: what is pending never runs, what runs is asked to end and does not come back."""

from __future__ import annotations

import asyncio

import pytest

from goose_queues.clock import Clock
from goose_queues.errors import JobConflict, JobNotFound
from goose_queues.record import Cancelled, CancelRequest, Completed, Failed, Released, Retry, Snoozed
from goose_queues.store import Store
from store_contract.making import (
    ERROR,
    LEASE,
    MAX_DEATHS,
    claim,
    claim_one,
    complete_only,
    new_job,
    record_of,
    settle,
    settle_all,
    statuses,
)


async def test_a_pending_job_never_runs(store: Store, other: Store) -> None:
    job, beside = new_job(priority=9), new_job()
    await store.insert([job, beside])
    await other.cancel(job.id, "not this one")
    await complete_only(store, beside)
    record = await record_of(store, job)
    assert (record.status, record.note, record.attempts, record.error) == ("cancelled", "not this one", 0, None)
    assert record.finished_at is not None
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.cancelled, stats.completed) == (0, 1, 1)


async def test_a_job_that_is_due_later_never_runs(store: Store, clock: Clock) -> None:
    job = new_job(delay=60.0)
    await store.insert([job])
    await store.cancel(job.id, "not this one")
    clock.offset += 61
    assert (await claim(store)).jobs == ()
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled, stats.cancelled) == (0, 0, 1)


async def test_a_running_job_is_asked_and_runs_on(store: Store, other: Store) -> None:
    await store.insert([new_job(), new_job()])
    job, beside = (await claim(store)).jobs
    await other.cancel(job.id, "enough")
    record = await record_of(store, job)
    assert (record.status, record.cancel_requested, record.finished_at) == ("processing", True, None)
    assert (await record_of(store, beside)).cancel_requested is False
    assert await store.cancel_requests() == [CancelRequest(job.id, job.token, "enough")]
    assert await other.cancel_requests() == [CancelRequest(job.id, job.token, "enough")]
    assert await asyncio.to_thread(store.extend, {job.id: job.token}, LEASE) == frozenset()


async def test_a_running_job_that_ends_by_it_is_cancelled(store: Store) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.cancel(job.id, "enough")
    await settle(store, job, Cancelled("enough"))
    record = await record_of(store, job)
    assert (record.status, record.note) == ("cancelled", "enough")
    assert await store.cancel_requests() == []


@pytest.mark.parametrize(
    ("outcome", "status"), [(Completed('"done"'), "completed"), (Failed(ERROR), "failed")], ids=["completed", "failed"]
)
async def test_a_running_job_may_end_by_itself_before_it_hears_of_it(
    store: Store, outcome: Completed | Failed, status: str
) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.cancel(job.id, "enough")
    assert await settle(store, job, outcome) == frozenset()
    record = await record_of(store, job)
    assert (record.status, record.note) == (status, None)
    assert await store.cancel_requests() == []


@pytest.mark.parametrize(
    "outcome",
    [Retry(0, ERROR), Retry(60, ERROR), Snoozed(delay=0), Snoozed(delay=60), Released()],
    ids=["retried", "retried later", "snoozed", "snoozed for longer", "released"],
)
async def test_a_running_job_that_was_asked_to_end_does_not_come_back(
    store: Store, clock: Clock, outcome: Retry | Snoozed | Released
) -> None:
    await store.insert([new_job(), new_job()])
    job, beside = (await claim(store)).jobs
    await store.cancel(job.id, "enough")
    await settle_all(store, [job, beside], outcome)
    clock.offset += 61
    assert [again.id for again in (await claim(store)).jobs] == [beside.id]
    record = await record_of(store, job)
    assert (record.status, record.note) == ("cancelled", "enough")
    assert record.finished_at is not None
    assert (await store.stats())["default"].cancelled == 1


async def test_the_error_of_an_attempt_that_was_asked_to_end_is_kept(store: Store) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.cancel(job.id, "enough")
    await settle(store, job, Retry(0, ERROR))
    record = await record_of(store, job)
    assert (record.status, record.error, record.attempts, record.failures) == ("cancelled", ERROR, 1, 1)


async def test_a_running_job_whose_worker_died_does_not_come_back(store: Store, clock: Clock) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.cancel(job.id, "enough")
    clock.offset += LEASE + 1
    rescued = await store.rescue(10, MAX_DEATHS)
    assert (rescued.returned, rescued.failed, rescued.cancelled, rescued.queues) == (0, 0, 1, frozenset())
    record = await record_of(store, job)
    assert (record.status, record.note, record.deaths) == ("cancelled", "enough", 1)
    assert await store.cancel_requests() == []
    assert (await store.stats())["default"].cancelled == 1


async def test_a_claim_after_a_retry_was_asked_nothing(store: Store) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.cancel(job.id, "enough")
    await settle(store, job, Cancelled("enough"))
    await store.retry(job.id)
    again = await claim_one(store)
    assert await store.cancel_requests() == []
    await settle(store, again, Retry(0, ERROR))
    assert (await claim_one(store)).attempt == 3


async def test_again_changes_nothing(store: Store) -> None:
    job = new_job()
    await store.insert([job])
    await store.cancel(job.id, "first")
    before = await record_of(store, job)
    await store.cancel(job.id, "second")
    assert await record_of(store, job) == before
    assert (await store.stats())["default"].cancelled == 1


@pytest.mark.parametrize(
    ("outcome", "status"), [(Completed(), "completed"), (Failed(ERROR), "failed")], ids=["completed", "failed"]
)
async def test_what_is_over_cannot_be_cancelled(store: Store, outcome: Completed | Failed, status: str) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await settle(store, job, outcome)
    before = await record_of(store, job)
    with pytest.raises(JobConflict) as caught:
        await store.cancel(job.id, "too late")
    assert str(caught.value) == f"job {job.id} is {status}: only a job that is pending or runs can be cancelled"
    assert (caught.value.status_code, caught.value.status) == (409, status)
    assert await record_of(store, job) == before


@pytest.mark.parametrize("text", ["", "abc", "x" * 1000, "\x00", "\ud800", "' OR 1=1 --", "%", "Ä"])
async def test_what_is_not_there_cannot_be_cancelled(store: Store, text: str) -> None:
    job = new_job()
    await store.insert([job])
    with pytest.raises(JobNotFound) as caught:
        await store.cancel(text, "why")
    assert (str(caught.value), caught.value.status_code) == ("no such job", 404)
    assert await statuses(store, [job]) == ["pending"]


async def test_any_text_is_a_reason(store: Store) -> None:
    pending, running = new_job(), new_job(priority=9)
    await store.insert([pending, running])
    job = await claim_one(store)
    for one in (pending, running):
        await store.cancel(one.id, "a\x00b \ud800 Grüße 🪿")
        assert (await record_of(store, one)).note == "a\\x00b \\ud800 Grüße 🪿"
    assert (await store.cancel_requests())[0].reason == "a\\x00b \\ud800 Grüße 🪿"
    await settle(store, job, Released())
    assert (await record_of(store, running)).note == "a\\x00b \\ud800 Grüße 🪿"


async def test_a_cancellation_and_a_claim_at_once_leave_one_truth(store: Store, other: Store) -> None:
    jobs = [new_job() for _ in range(100)]
    await store.insert(jobs)

    async def take() -> list[str]:
        taken: list[str] = []
        while claimed := (await claim(other, 3)).jobs:
            taken += [job.id for job in claimed]
        return taken

    taken, *_ = await asyncio.gather(take(), *(store.cancel(job.id, "why") for job in jobs))
    asked = {request.job_id for request in await store.cancel_requests()}
    assert asked == set(taken)
    expected = ["processing" if job.id in asked else "cancelled" for job in jobs]
    assert await statuses(store, jobs) == expected
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.processing, stats.cancelled) == (0, len(asked), 100 - len(asked))
