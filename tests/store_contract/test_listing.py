"""Listings: what runs, what is next, what is due later, what has finished; page by page, each job once."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest

from goose_queues.clock import Clock
from goose_queues.errors import InvalidFilter
from goose_queues.record import Cancelled, Completed, Failed, JobFilter, JobRecord, NewJob, Settlement, Status
from goose_queues.store import Store
from store_contract.making import (
    ERROR,
    claim,
    claim_one,
    new_batch,
    new_chain,
    new_job,
    record_of,
    settle,
    settle_all,
)

EVERYTHING = JobFilter()


async def listed(store: Store, wanted: JobFilter = EVERYTHING, limit: int = 200) -> list[JobRecord]:
    """All pages of a listing."""
    page = await store.jobs(wanted, limit)
    records = list(page.records)
    while page.cursor is not None:
        assert len(page.records) == limit, "a page with another after it is full"
        page = await store.jobs(wanted, limit, page.cursor)
        records += page.records
    return records


def ids_of(records: Sequence[JobRecord | NewJob]) -> list[str]:
    return [record.id for record in records]


async def one_of_each(store: Store, clock: Clock, queue: str = "default") -> list[NewJob]:
    """Jobs of every section in the order of a listing, two of each, one after the other."""
    made = [new_job(queue=queue) for _ in range(8)]
    await store.insert(made)
    jobs = (await claim(store, 8, queue=queue)).jobs
    for job, outcome in zip(jobs, [*[Completed()] * 2, *[Cancelled("why")] * 2, *[Failed(ERROR)] * 2], strict=False):
        clock.offset += 1
        await settle(store, job, outcome)
    completed, cancelled, failed, running = (made[start : start + 2] for start in range(0, 8, 2))
    ready = [new_job(queue=queue, priority=5, name="Other"), new_job(queue=queue, name="Other")]
    later = [new_job(queue=queue, delay=delay) for delay in (1000.0, 2000.0)]
    chain = new_chain(3, queue=queue)
    await store.insert([*reversed(ready), *reversed(later), *chain])
    return [
        *running,
        ready[0],
        *sorted([ready[1], chain[0]], key=lambda job: job.id),
        *later,
        *chain[1:],
        *reversed(failed),
        *reversed(cancelled),
        *reversed(completed),
    ]


async def test_an_empty_store_lists_nothing(store: Store) -> None:
    page = await store.jobs(EVERYTHING, 10)
    assert (page.records, page.cursor) == ((), None)


async def test_what_runs_then_what_is_next_then_what_has_finished_newest_first(store: Store, clock: Clock) -> None:
    wanted = await one_of_each(store, clock)
    assert ids_of(await listed(store)) == ids_of(wanted)


async def test_a_listed_job_is_the_whole_record(store: Store, clock: Clock) -> None:
    await one_of_each(store, clock)
    for record in await listed(store):
        assert record == await store.get(record.id)


async def test_pages_of_any_size_bring_the_same(store: Store, clock: Clock) -> None:
    await one_of_each(store, clock)
    await one_of_each(store, clock, "emails")
    everything = await listed(store)
    assert len(everything) == 30
    for limit in range(1, 32):
        assert await listed(store, limit=limit) == everything, limit


async def test_filters_leave_what_fits_in_its_order(store: Store, clock: Clock) -> None:
    await one_of_each(store, clock)
    await one_of_each(store, clock, "emails")
    everything = await listed(store)
    queues, statuses, names = (
        (None, "default", "emails", "nobody"),
        (None, *get_args(Status)),
        (None, "Other", "Unknown"),
    )
    for queue, status, name in itertools.product(queues, statuses, names):
        fitting = [
            record
            for record in everything
            if queue in {None, record.queue} and status in {None, record.status} and name in {None, record.name}
        ]
        wanted = JobFilter(queue=queue, status=status, name=name)
        for limit in (1, 3, 200):
            assert await listed(store, wanted, limit) == fitting, (wanted, limit)


async def test_jobs_of_several_queues_are_in_one_order(store: Store, clock: Clock) -> None:
    jobs = [new_job(queue=queue, priority=priority) for priority in (9, 5, 1) for queue in ("a", "b", "c")]
    await store.insert(jobs)
    assert [record.priority for record in await listed(store, limit=2)] == [9, 9, 9, 5, 5, 5, 1, 1, 1]
    for queue in "cab":
        clock.offset += 1
        await settle_all(store, (await claim(store, queue=queue)).jobs, Completed())
    assert [record.queue for record in await listed(store, limit=2)] == [*"bbb", *"aaa", *"ccc"]


async def test_a_chain_is_listed_in_its_order(store: Store, clock: Clock) -> None:
    links = new_chain(5)
    await store.insert([*new_chain(2), *reversed(links)])
    await store.cancel(links[3].id, "why")
    await settle(store, await claim_one(store), Completed())
    wanted = JobFilter(chain_id=links[0].chain_id)
    for limit in (1, 2, 200):
        assert ids_of(await listed(store, wanted, limit)) == ids_of(links)
    cancelled = JobFilter(chain_id=links[0].chain_id, status="cancelled")
    assert ids_of(await listed(store, cancelled, 1)) == ids_of(links[3:])
    assert await listed(store, JobFilter(chain_id=links[0].chain_id, queue="emails")) == []


async def test_a_batch_is_listed_without_its_callbacks(store: Store) -> None:
    members, batch = new_batch(5, "catch")
    others, other = new_batch(3)
    await store.insert([*members, *others], batches=[batch, other])
    by_id = {job.id: job for job in (await claim(store)).jobs}
    await settle(store, by_id[members[4].id], Failed(ERROR))
    await settle(store, by_id[members[1].id], Completed())
    wanted = JobFilter(batch_id=batch.id)
    for limit in (1, 2, 3, 200):
        found = await listed(store, wanted, limit)
        assert ids_of(found) == ids_of([members[0], members[2], members[3], members[4], members[1]])
    assert ids_of(await listed(store, JobFilter(batch_id=batch.id, status="failed"))) == [members[4].id]


@pytest.mark.parametrize("text", ["", "abc", "x" * 1000, "\x00", "\ud800", "' OR 1=1 --", "%", "Ä"])
async def test_what_is_not_there_lists_nothing(store: Store, text: str) -> None:
    members, batch = new_batch(2)
    await store.insert([*members, *new_chain(2)], batches=[batch])
    for option in ("queue", "name", "chain_id", "batch_id"):
        page = await store.jobs(JobFilter(**{option: text}), 10)
        assert (page.records, page.cursor) == ((), None)


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
async def test_jobs_of_one_moment_are_each_listed_once(store: Store, limit: int) -> None:
    jobs = [new_job(queue=queue) for _ in range(7) for queue in ("a", "b")]
    await store.insert(jobs)
    assert sorted(ids_of(await listed(store, limit=limit))) == sorted(ids_of(jobs))
    claimed = [*(await claim(store, queue="a")).jobs, *(await claim(store, queue="b")).jobs]
    assert sorted(ids_of(await listed(store, limit=limit))) == sorted(ids_of(jobs))
    await store.settle([Settlement(job, Completed()) for job in claimed])
    found = await listed(store, JobFilter(status="completed"), limit)
    assert sorted(ids_of(found)) == sorted(ids_of(jobs))
    # Those of one queue have ended at one moment; what runs in two places may have two.
    assert found == sorted(sorted(found, key=lambda it: it.id), key=lambda it: str(it.finished_at), reverse=True)


async def test_jobs_that_come_and_go_move_no_others(store: Store, clock: Clock) -> None:
    jobs = [new_job() for _ in range(9)]
    await store.insert(jobs)
    wanted = JobFilter(status="pending")
    page = await store.jobs(wanted, 3)
    assert ids_of(page.records) == ids_of(jobs[:3])
    await store.insert([new_job(priority=9) for _ in range(5)])
    await store.cancel(jobs[2].id, "the one that the cursor stands on")
    await store.cancel(jobs[4].id, "one that was to come")
    assert len((await claim(store, 7)).jobs) == 7
    page = await store.jobs(wanted, 3, page.cursor)
    assert ids_of(page.records) == ids_of([jobs[3], jobs[5], jobs[6]])
    clock.offset += 1
    await store.insert([new_job()])
    page = await store.jobs(wanted, 3, page.cursor)
    assert ids_of(page.records[:2]) == ids_of(jobs[7:])
    assert len(page.records) == 3


async def test_what_finishes_meanwhile_is_not_listed_again(store: Store, clock: Clock) -> None:
    jobs = [new_job() for _ in range(4)]
    await store.insert(jobs)
    wanted = JobFilter(status="completed")
    for _ in range(3):
        clock.offset += 1
        await settle(store, await claim_one(store), Completed())
    page = await store.jobs(wanted, 1)
    assert ids_of(page.records) == [jobs[2].id]
    clock.offset += 1
    await settle(store, await claim_one(store), Completed())
    page = await store.jobs(wanted, 10, page.cursor)
    assert ids_of(page.records) == [jobs[1].id, jobs[0].id]


def text_of(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def altered(cursor: str, place: int, value: Any) -> str:
    """A cursor with one of its parts written over."""
    parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    parts[place] = value
    return text_of(*parts)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "abc",
        "!",
        "Ä",
        "\ud800",
        "\x00",
        "x" * 10_000,
        text_of(),
        text_of("ready"),
        text_of("ready", 1, 1, "x"),
        text_of("nowhere", 1),
        text_of(None, None),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b"1" * 10_000).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
    ids=lambda text: ascii(text[:20]),
)
async def test_what_is_no_cursor_is_refused(store: Store, cursor: str) -> None:
    await store.insert([new_job()])
    with pytest.raises(InvalidFilter) as caught:
        await store.jobs(EVERYTHING, 10, cursor)
    assert str(caught.value).startswith("cursor=")
    assert str(caught.value).endswith(": use the cursor of an earlier page with the same filter")
    assert (caught.value.status_code, caught.value.option) == (400, "cursor")


@pytest.mark.parametrize(
    "value",
    [10**30, -(10**30), 10**400, float("inf"), float("nan"), "\ud800", "\x00", True, None, [], {}, "x" * 10_000],
)
async def test_a_cursor_that_was_written_over_is_refused_or_harmless(store: Store, value: Any) -> None:
    await store.insert([new_job() for _ in range(3)])
    cursor = (await store.jobs(EVERYTHING, 1)).cursor
    assert cursor is not None
    parts = len(json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    for place in range(parts):
        try:
            page = await store.jobs(EVERYTHING, 10, altered(cursor, place, value))
        except InvalidFilter:
            continue
        assert len(page.records) <= 3


async def test_the_cursor_of_another_filter_is_refused(store: Store, clock: Clock) -> None:
    await one_of_each(store, clock)
    members, batch = new_batch(2)
    chain = new_chain(2)
    await store.insert([*members, *chain], batches=[batch])
    filters = [
        EVERYTHING,
        JobFilter(queue="default"),
        JobFilter(status="pending"),
        JobFilter(name="Work"),
        JobFilter(batch_id=batch.id),
        JobFilter(chain_id=chain[0].chain_id),
        JobFilter(queue="default", status="pending"),
    ]
    cursors = [(await store.jobs(wanted, 1)).cursor for wanted in filters]
    for mine, wanted in enumerate(filters):
        for theirs, cursor in enumerate(cursors):
            assert cursor is not None
            if mine != theirs:
                with pytest.raises(InvalidFilter):
                    await store.jobs(wanted, 10, cursor)


async def test_a_cursor_is_good_in_every_process(store: Store, other: Store) -> None:
    jobs = [new_job() for _ in range(4)]
    await store.insert(jobs)
    page = await store.jobs(EVERYTHING, 2)
    assert ids_of((await other.jobs(EVERYTHING, 2, page.cursor)).records) == ids_of(jobs[2:])
    assert (await record_of(other, jobs[0])) == page.records[0]
