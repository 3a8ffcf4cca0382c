"""Rows that a hand has edited harm no worker and no other job."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from goose_queues.clock import Clock
from goose_queues.record import (
    Completed,
    ErrorRecord,
    Failed,
    JobFilter,
    NewBatch,
    Outcome,
    Released,
    Retry,
    Settlement,
    Snoozed,
)
from goose_queues.stores.sql.store import SqlStore
from store_contract.making import ERROR, LEASE, MAX_DEATHS, claim, claim_one, ids, new_job, settle
from waiting import wait_until

from .conftest import Hand


async def test_a_row_in_an_unknown_state_is_shown_as_failed_and_never_claimed(store: SqlStore, hand: Hand) -> None:
    bad, good = new_job(), new_job()
    await store.insert([bad, good])
    hand("update goose_jobs set state = 'zombie' where id = ?", bad.id)
    record = await store.get(bad.id)
    assert record is not None
    assert (record.status, record.error) == (
        "failed",
        ErrorRecord("CorruptRow", "corrupt row: state is 'zombie'", ""),
    )
    assert ids(await claim(store)) == [good.id]


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("timeout", "soon", "timeout is 'soon'"),
        ("max_retries", "many", "max_retries is 'many'"),
        ("attempts", 1.5, "attempts is 2.5"),
        ("priority", "high", "priority is 'high'"),
        ("due_at", "now", "due_at is 'now'"),
        ("created_at", b"\x00", "created_at is b'\\x00'"),
        ("payload", b"\xff", "payload is b'\\xff'"),
        ("meta", b"{}", "meta is b'{}'"),
        ("chain_id", b"c", "chain_id is b'c'"),
        ("position", "first", "position is 'first'"),
        ("batch_id", b"b", "batch_id is b'b'"),
    ],
)
async def test_a_claimed_row_that_makes_no_sense_can_only_fail(
    store: SqlStore, hand: Hand, column: str, value: Any, fault: str
) -> None:
    bad, good = new_job(), new_job()
    await store.insert([bad, good])
    hand(f"update goose_jobs set {column} = ? where id = ?", value, bad.id)
    claimed = {job.id: job for job in (await claim(store)).jobs}
    assert claimed[good.id].failed_with is None
    error = claimed[bad.id].failed_with
    assert error == ErrorRecord("CorruptRow", f"corrupt row: {fault}", "")
    lost = await store.settle([Settlement(claimed[good.id], Completed()), Settlement(claimed[bad.id], Failed(error))])
    assert lost == frozenset()
    record = await store.get(bad.id)
    assert record is not None
    assert (record.status, record.error) == ("failed", error)


async def test_a_lease_without_an_end_is_rescued(store: SqlStore, hand: Hand) -> None:
    job = new_job()
    await store.insert([job])
    await claim_one(store)
    hand("update goose_jobs set lease_until = null, token = null")
    assert (await store.rescue(10, MAX_DEATHS)).returned == 1
    assert (await claim_one(store)).id == job.id


async def test_a_stored_error_that_is_no_json_becomes_the_message(store: SqlStore, hand: Hand) -> None:
    job = new_job()
    await store.insert([job])
    hand("update goose_jobs set error = ?, doomed = 1", "[" * 100)
    claimed = await claim_one(store)
    assert claimed.failed_with is not None
    assert claimed.failed_with.message.startswith("corrupt row: error is '[[[")
    await settle(store, claimed, Failed(claimed.failed_with))


async def test_a_row_whose_id_is_no_text_can_only_fail(store: SqlStore, hand: Hand) -> None:
    await store.insert([new_job()])
    hand("update goose_jobs set id = ?", b"\n")
    claimed = await claim_one(store)
    assert claimed.failed_with == ErrorRecord("CorruptRow", "corrupt row: id is b'\\n'", "")
    assert await settle(store, claimed, Failed(claimed.failed_with)) == frozenset()
    assert hand("select state from goose_jobs") == [("failed",)]


@pytest.mark.parametrize("due", [float("inf"), -float("inf"), "soon", b"\xff"])
async def test_a_time_that_never_comes_holds_up_no_other_job(store: SqlStore, hand: Hand, due: Any) -> None:
    bad, good = new_job(delay=5.0), new_job()
    await store.insert([bad, good])
    hand("update goose_jobs set due_at = ? where id = ?", due, bad.id)
    claimed = {job.id: job for job in (await claim(store)).jobs}
    assert claimed[good.id].failed_with is None
    record = await store.get(bad.id)
    assert record is not None
    if record.status == "processing":
        assert claimed[bad.id].failed_with == ErrorRecord("CorruptRow", f"corrupt row: due_at is {due!r}", "")
    else:
        assert (record.status, record.error) == (
            "failed",
            ErrorRecord("CorruptRow", f"corrupt row: due_at is {due!r}", ""),
        )


@pytest.mark.parametrize("outcome", [Completed(), Failed(ERROR), Retry(0.0, ERROR), Snoozed(0.0), Released()])
@pytest.mark.parametrize("number", [float("inf"), -float("inf")])
async def test_infinite_numbers_of_attempts_are_still_settled(
    store: SqlStore, hand: Hand, number: float, outcome: Outcome
) -> None:
    """Infinity less infinity is no number, and the columns take no NULL."""
    await store.insert([new_job(), new_job()])
    hand("update goose_jobs set attempts = ?, failures = ?, doomed = ?, deaths = 2", number, number, number)
    claimed = (await claim(store)).jobs
    # The other one was given back, so that the suspect is alone.
    assert len(claimed) == 1
    assert await settle(store, claimed[0], outcome) == frozenset()


async def test_a_number_of_deaths_that_cannot_grow_holds_up_no_rescue(
    store: SqlStore, hand: Hand, clock: Clock
) -> None:
    bad, good = new_job(), new_job()
    await store.insert([bad, good])
    await claim(store)
    hand("update goose_jobs set deaths = ? where id = ?", 2**63 - 1, bad.id)
    clock.offset += LEASE + 1
    rescued = await store.rescue(10, MAX_DEATHS)
    assert (rescued.returned, rescued.failed) == (1, 1)


async def test_queues_of_any_kind_are_counted(store: SqlStore, hand: Hand, clock: Clock) -> None:
    await store.insert([new_job(), new_job(), new_job()])
    await claim(store)
    hand("update goose_jobs set doomed = 1, deaths = 9")
    hand("update goose_jobs set queue = ? where rowid = 2", b"\xff")
    clock.offset += LEASE + 1
    assert (await store.rescue(10, MAX_DEATHS)).failed == 3
    assert (await store.stats())["default"].failed == 2
    assert (await store.stats())["b'\\xff'"].failed == 1


@pytest.mark.parametrize("end", ["never", b"\x00", 2**63 - 1, float("inf")])
async def test_a_lease_that_would_not_end_is_rescued(store: SqlStore, hand: Hand, end: Any) -> None:
    await store.insert([new_job()])
    await claim_one(store)
    hand("update goose_jobs set lease_until = ?", end)
    assert (await store.rescue(10, MAX_DEATHS)).returned == 1


NO_UTF8 = "cast(x'6ac328' as text)"


@pytest.mark.parametrize("column", ["payload", "meta", "error", "timeout", "chain_id", "priority"])
async def test_text_that_cannot_be_read_fails_its_job_and_no_other(store: SqlStore, hand: Hand, column: str) -> None:
    bad, good = new_job(), new_job()
    await store.insert([bad, good])
    hand(f"update goose_jobs set {column} = {NO_UTF8}, doomed = 1 where id = ?", bad.id)
    claimed = {job.id: job for job in (await claim(store)).jobs}
    assert claimed[good.id].failed_with is None
    error = claimed[bad.id].failed_with
    assert error == ErrorRecord("CorruptRow", f"corrupt row: {column} is b'j\\xc3('", "")
    assert await settle(store, claimed[bad.id], Failed(error)) == frozenset()
    record = await store.get(bad.id)
    assert record is not None
    assert record.error == error


async def test_a_queue_that_cannot_be_read_stops_nobody_from_looking(
    store: SqlStore, hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    await store.insert([new_job(queue="a"), new_job(queue="k")])
    hand(f"update goose_jobs set queue = {NO_UTF8} where queue = 'k'")
    assert (await store.stats())["a"].pending == 1
    await store.prune(0.0, 10)
    await wait_until(lambda: len(heard) > 1)
    assert caplog.records == []


@pytest.mark.parametrize("jobs", ["many", float("inf"), 1e300, 1.5, b"\xff", 2**63 - 1])
async def test_counts_that_a_hand_has_written_stop_nothing(store: SqlStore, hand: Hand, jobs: Any) -> None:
    await store.insert([new_job(), new_job(delay=9.0)])
    hand("insert or replace into goose_counts values ('default', 'scheduled', ?), ('default', 'failed', ?)", jobs, jobs)
    await settle(store, await claim_one(store), Failed(ERROR))
    await store.prune(60.0, 10)
    assert (await store.stats())["default"].pending == 0


@pytest.mark.parametrize("position", ["first", b"\xff", -1, 2**63 - 1, 1.5])
async def test_a_place_in_a_chain_that_is_none_keeps_nobody_from_their_end(
    store: SqlStore, hand: Hand, clock: Clock, position: Any
) -> None:
    await store.insert([new_job(chain_id="c", position=place) for place in range(3)])
    first = await claim_one(store)
    hand("update goose_jobs set position = ? where id <> ?", position, first.id)
    assert await settle(store, first, Completed()) == frozenset()
    hand("update goose_jobs set state = 'ready', position = ? where id <> ?", position, first.id)
    hand("update goose_jobs set doomed = 1, deaths = 9")
    claimed = (await claim(store)).jobs
    await store.cancel(claimed[0].id, "no more")
    clock.offset += LEASE + 1
    assert (await store.rescue(10, MAX_DEATHS)).cancelled == 1
    await store.retry(claimed[0].id)


async def test_batches_of_any_kind_come_to_their_end(store: SqlStore, hand: Hand) -> None:
    await store.insert([new_job(batch_id="b", batch_role="member") for _ in range(3)], batches=[NewBatch("b", 3)])
    claimed = (await claim(store)).jobs
    hand("update goose_jobs set batch_id = ?, chain_id = ? where id = ?", b"\xff", b"\xff", claimed[0].id)
    hand("update goose_batches set total = 'many', completed = ?, chain_id = 'c', position = 'x'", 2**63 - 1)
    assert await store.settle([Settlement(job, Completed()) for job in claimed]) == frozenset()
    progress = await store.batch("b")
    assert progress is not None
    assert (progress.total, progress.processing) == (0, 0)


async def test_a_callback_with_the_id_of_another_job_is_dropped(store: SqlStore, hand: Hand) -> None:
    other = new_job(queue="other")
    then = new_job(batch_id="b", batch_role="then")
    batch = NewBatch("b", 1, (then,))
    await store.insert([other, new_job(batch_id="b", batch_role="member")], batches=[batch])
    hand("update goose_callbacks set id = ?", other.id)
    assert await settle(store, await claim_one(store), Completed()) == frozenset()
    assert [job.id for job in (await claim(store, queue="other")).jobs] == [other.id]


STRANGE = (None, b"\x00", b"\xff", "\x00", "soon", float("inf"), -float("inf"), 2**63 - 1, -(2**63), 0.5)


@pytest.mark.parametrize("column", ["id", "due_at", "priority", "started_at", "finished_at"])
async def test_a_listing_goes_on_after_any_row(store: SqlStore, hand: Hand, column: str) -> None:
    states = ("ready", "scheduled", "processing", "failed", "completed")
    jobs = [new_job() for _ in STRANGE for _ in states]
    await store.insert(jobs)
    # What has no time is in no index of times: such a row is not listed among the finished ones.
    hand("update goose_jobs set started_at = 0, finished_at = 0")
    hand("insert into goose_counts select 'default', value, 9 from json_each(?)", json.dumps(states))
    for number, job in enumerate(jobs):
        hand("update goose_jobs set state = ? where id = ?", states[number % len(states)], job.id)
    for number, value in enumerate(STRANGE):
        for place in range(len(states)):
            identity = jobs[number * len(states) + place].id
            strange = value if column != "id" else f"{value!r}{place}".encode()
            hand(f"update or ignore goose_jobs set {column} = ? where id = ?", strange, identity)
    seen: list[str] = []
    page = await store.jobs(JobFilter(), 2)
    while page.cursor is not None:
        seen += [record.id for record in page.records]
        page = await store.jobs(JobFilter(), 2, page.cursor)
    seen += [record.id for record in page.records]
    assert len(seen) == len(set(seen))
    assert len(seen) >= len(jobs) - len(states)


async def test_a_pruning_goes_on_after_any_row(store: SqlStore, hand: Hand, clock: Clock) -> None:
    jobs = [new_job() for _ in range(9)]
    await store.insert(jobs)
    await store.settle([Settlement(job, Completed()) for job in (await claim(store)).jobs])
    hand("insert into goose_counts values (?, 'completed', 1), ('default', ?, 1)", b"\xff", b"\xff")
    for number, job in enumerate(jobs[:4]):
        hand("update goose_jobs set id = ? where id = ?", bytes([number]), job.id)
    clock.offset += 60
    deleted, cursor = 0, None
    while deleted == 0 or cursor is not None:
        pruned = await store.prune(1.0, 2, cursor)
        deleted, cursor = deleted + pruned.deleted, pruned.cursor
    assert deleted == len(jobs)


async def test_a_record_has_the_types_that_it_says(store: SqlStore, hand: Hand) -> None:
    job = new_job()
    await store.insert([job])
    for name in (name for _, name, *_ in hand("pragma table_info(goose_jobs)") if name != "id"):
        hand(f"update goose_jobs set {name} = ?", b"\xff")
    record = await store.get(job.id)
    assert record is not None
    assert (record.name, record.queue, record.result, record.note) == ("b'\\xff'",) * 4
    assert (record.attempts, record.max_retries, record.position, record.timeout) == (0, 0, 0, None)
    assert record.created_at == record.available_at == datetime(1970, 1, 1, tzinfo=UTC)


async def test_any_edit_at_all_leaves_the_store_working(store: SqlStore, hand: Hand, clock: Clock) -> None:
    """Random values in random columns: every operation still answers, and a sound job still runs."""
    dice = random.Random(20)
    columns = [name for _, name, *_ in hand("pragma table_info(goose_jobs)") if name != "id"]
    values = [0, -1, 2**63 - 1, -(2**63), 1.5, 1e300, "", "x", "ready", "processing", "\x00", b"\xff\x00", "9" * 400]
    values += [float("inf"), -float("inf")]
    jobs = [new_job(queue=dice.choice(["default", "emails"]), delay=dice.choice([None, 5.0])) for _ in range(60)]
    await store.insert(jobs)
    for _ in range(300):
        column, value, victim = dice.choice(columns), dice.choice(values), dice.choice(jobs)
        hand(f"update goose_jobs set {column} = ? where id = ?", value, victim.id)
        claimed = (await claim(store, dice.randrange(4))).jobs
        await store.settle([Settlement(job, Completed()) for job in claimed[:1]])
        clock.offset += LEASE
        await store.rescue(10, MAX_DEATHS)
        await store.stats()
        assert await store.get(victim.id) is not None
    await store.prune(0, 100)
    sound = new_job(queue="sound")
    await store.insert([sound])
    assert ids(await claim(store, queue="sound")) == [sound.id]
