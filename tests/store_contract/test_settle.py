"""Outcomes are written once, by the holder of the token, all of a pack together."""

from __future__ import annotations

import pytest

from goose_queues.clock import Clock
from goose_queues.record import (
    Cancelled,
    Completed,
    Doomed,
    ErrorRecord,
    Failed,
    Outcome,
    Released,
    Retry,
    Settlement,
    Snoozed,
)
from goose_queues.store import Store
from store_contract.making import ERROR, LEASE, MAX_DEATHS, claim, claim_one, new_job, settle


async def test_a_completed_job_keeps_its_result(store: Store) -> None:
    job = new_job()
    await store.insert([job])
    assert await settle(store, await claim_one(store), Completed('{"eggs":2}', "a note")) == frozenset()
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.result, record.note) == ("completed", '{"eggs":2}', "a note")
    assert record.error is None
    assert record.started_at is not None
    assert record.finished_at is not None
    assert record.finished_at >= record.started_at


async def test_a_failed_job_keeps_its_error(store: Store) -> None:
    job = new_job()
    await store.insert([job])
    await settle(store, await claim_one(store), Failed(ERROR, "a note"))
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.error, record.note) == ("failed", ERROR, "a note")
    assert (record.attempts, record.failures) == (1, 1)
    assert record.finished_at is not None


async def test_a_doomed_job_comes_back_for_on_failure_alone(store: Store) -> None:
    job = new_job()
    await store.insert([job])
    await settle(store, await claim_one(store), Doomed(ERROR))
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.attempts, record.failures, record.error) == ("pending", 1, 1, ERROR)
    again = await claim_one(store)
    assert (again.failed_with, again.attempt) == (ERROR, 1)
    await settle(store, again, Released())
    again = await claim_one(store)
    assert again.failed_with == ERROR
    await settle(store, again, Failed(ERROR))
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.attempts, record.failures) == ("failed", 1, 1)


async def test_a_cancelled_job_keeps_the_reason(store: Store) -> None:
    job = new_job()
    await store.insert([job])
    await settle(store, await claim_one(store), Cancelled("not wanted any more"))
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.note, record.failures) == ("cancelled", "not wanted any more", 0)
    assert record.finished_at is not None


OUTCOMES: list[Outcome] = [
    Completed("1"),
    Retry(0, ERROR),
    Snoozed(delay=0),
    Failed(ERROR),
    Cancelled("why"),
    Released(),
    Doomed(ERROR),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_without_the_token_nothing_is_written(store: Store, clock: Clock, outcome: Outcome) -> None:
    job = new_job()
    await store.insert([job])
    lost = await claim_one(store)
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    holder = await claim_one(store)
    before = await store.get(job.id)
    assert await settle(store, lost, outcome) == {job.id}
    assert await store.get(job.id) == before
    assert await settle(store, holder, Completed()) == frozenset()


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_what_is_completed_never_changes(store: Store, outcome: Outcome) -> None:
    job = new_job()
    await store.insert([job])
    claimed = await claim_one(store)
    await settle(store, claimed, Completed("1"))
    before = await store.get(job.id)
    assert await settle(store, claimed, outcome) == {job.id}
    assert await store.get(job.id) == before
    assert (await store.stats())["default"].completed == 1


async def test_a_pack_of_all_kinds_is_written_and_the_lost_ones_are_named(store: Store, clock: Clock) -> None:
    await store.insert([new_job() for _ in range(14)])
    lost = (await claim(store, 7)).jobs
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    held = (await claim(store, 7)).jobs
    pack = [Settlement(job, outcome) for jobs in (lost, held) for job, outcome in zip(jobs, OUTCOMES, strict=True)]
    assert {job.id for job in lost} == {job.id for job in held}
    assert await store.settle(pack[:7]) == {job.id for job in lost}
    mixed = [*pack[7:10], *pack[3:7]]
    assert await store.settle(mixed) == {job.id for job in lost[3:]}
    assert await store.settle(pack[10:]) == frozenset()
    stats = (await store.stats())["default"]
    assert (stats.completed, stats.failed, stats.cancelled, stats.processing) == (1, 1, 1, 0)
    assert stats.pending == 11


async def test_a_hundred_completed_with_one_lost_among_them(store: Store, clock: Clock) -> None:
    await store.insert([new_job() for _ in range(100)])
    stale = (await claim(store, 1)).jobs[0]
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    jobs = (await claim(store, 100)).jobs
    pack = [stale if job.id == stale.id else job for job in jobs]
    assert await store.settle([Settlement(job, Completed()) for job in pack]) == {stale.id}
    stats = (await store.stats())["default"]
    assert (stats.completed, stats.processing) == (99, 1)


async def test_the_same_job_twice_in_a_pack_is_written_once(store: Store) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.settle([Settlement(job, Completed("1")), Settlement(job, Completed("2"))])
    stats = (await store.stats())["default"]
    assert (stats.completed, stats.processing, stats.pending) == (1, 0, 0)


async def test_nothing_to_settle_is_fine(store: Store) -> None:
    assert await store.settle([]) == frozenset()


async def test_no_text_of_an_error_can_keep_it_from_being_written(store: Store) -> None:
    job = new_job()
    await store.insert([job])
    error = ErrorRecord("Wéird\x00", "a \x00 and a \ud800 \x1b[31m", "\udcff" * 10)
    await settle(store, await claim_one(store), Failed(error, "note \ud800 \x00"))
    record = await store.get(job.id)
    assert record is not None
    assert record.error == error
    assert record.note == "note \\ud800 \\x00"
