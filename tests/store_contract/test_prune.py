"""Old finished jobs go, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goose_queues.clock import Clock
from goose_queues.ids import new_id
from goose_queues.record import (
    BatchRole,
    Cancelled,
    Completed,
    Failed,
    JobFilter,
    JobRecord,
    NewBatch,
    NewJob,
    Outcome,
    Settlement,
)
from goose_queues.store import Store
from store_contract.making import (
    ERROR,
    calls,
    claim,
    claim_one,
    complete_only,
    new_batch,
    new_chain,
    new_job,
    progress_of,
    settle,
    settle_all,
    statuses,
)
from store_contract.places import PLACES, open_or_skip

WEEK = 7 * 24 * 3600.0
HOUR = 3600.0


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


async def prune_all(store: Store, retention: float = WEEK, limit: int = 100) -> int:
    """Chunk by chunk to the end; how many jobs have gone."""
    total, cursor, chunks = 0, None, 0
    while True:
        pruned = await store.prune(retention, limit, cursor)
        assert 0 <= pruned.deleted <= limit
        total, cursor, chunks = total + pruned.deleted, pruned.cursor, chunks + 1
        assert chunks < 1_000, "it does not come to an end"
        if cursor is None:
            return total


async def test_links_stay_until_their_chain_is_over(store: Store, clock: Clock) -> None:
    links = new_chain(3)
    await store.insert(links)
    for link in links[:2]:
        await complete_only(store, link)
    clock.offset += WEEK + 1
    assert await prune_all(store) == 0
    assert await statuses(store, links) == ["completed", "completed", "pending"]
    await complete_only(store, links[2])
    assert await prune_all(store) == 2, "the last link is young"
    clock.offset += WEEK + 1
    assert await prune_all(store) == 1


async def test_members_and_callbacks_stay_until_their_batch_is_over(store: Store, clock: Clock) -> None:
    members, batch = new_batch(3, "catch")
    await store.insert(members, batches=[batch])
    jobs = (await claim(store)).jobs
    await settle(store, jobs[0], Completed())
    await settle(store, jobs[1], Failed(ERROR))
    await settle_all(store, (await claim(store, names=frozenset({"Call"}))).jobs, Completed())
    clock.offset += WEEK + 1
    assert await prune_all(store) == 0
    await settle(store, jobs[2], Completed())
    assert await prune_all(store) == 0, "the batch is young"
    assert (await progress_of(store, batch)).completed == 2
    clock.offset += WEEK + 1
    assert await prune_all(store) == 4
    assert await store.batch(batch.id) is None


async def test_a_batch_goes_with_its_last_member(store: Store, clock: Clock) -> None:
    members, batch = new_batch(5, "then")
    await store.insert(members, batches=[batch])
    await settle_all(store, (await claim(store)).jobs, Completed())
    clock.offset += WEEK + 1
    pruned = await store.prune(WEEK, 3)
    assert (pruned.deleted, await store.batch(batch.id) is None) == (3, False)
    pruned = await store.prune(WEEK, 3, pruned.cursor)
    assert (pruned.deleted, pruned.cursor, await store.batch(batch.id)) == (2, None, None)
    assert await calls(store) == ["then"], "what is pending is not old"


async def test_a_reopened_batch_keeps_its_members(store: Store, clock: Clock) -> None:
    members, batch = new_batch(2)
    await store.insert(members, batches=[batch])
    jobs = (await claim(store)).jobs
    await settle(store, jobs[0], Completed())
    await settle(store, jobs[1], Failed(ERROR))
    await store.retry(jobs[1].id)
    clock.offset += WEEK + 1
    assert await prune_all(store) == 0


async def test_more_old_batches_than_a_chunk_holds_go_all_the_same(store: Store, clock: Clock) -> None:
    batches = [new_batch(0, "catch")[1] for _ in range(7)]
    await store.insert([], batches=batches)
    clock.offset += WEEK + 1
    assert await prune_all(store, limit=3) == 0
    assert [await store.batch(batch.id) for batch in batches] == [None] * 7


async def test_a_chunk_of_which_nothing_may_go_holds_nothing_up(store: Store, clock: Clock) -> None:
    chains = [new_chain(2) for _ in range(7)]
    await store.insert([link for chain in chains for link in chain])
    await settle_all(store, (await claim(store, 7)).jobs, Completed())
    clock.offset += 1
    alone = new_job(priority=9)
    await store.insert([alone])
    await settle(store, await claim_one(store), Completed())
    clock.offset += WEEK + 1
    first = await store.prune(WEEK, 3)
    assert (first.deleted, first.cursor is None) == (0, False)
    assert await prune_all(store, limit=3) == 1
    assert await store.get(alone.id) is None


async def test_jobs_of_one_moment_are_looked_at_once_each(store: Store, clock: Clock) -> None:
    links = [new_chain(2, queue=queue) for _ in range(5) for queue in ("a", "b")]
    alone = [new_job(queue=queue) for _ in range(6) for queue in ("a", "b")]
    await store.insert([*alone, *(link for chain in links for link in chain)])
    jobs = [*(await claim(store, 100, queue="a")).jobs, *(await claim(store, 100, queue="b")).jobs]
    await settle_all(store, jobs, Completed())
    clock.offset += WEEK + 1
    assert await prune_all(store, limit=2) == 12


End: TypeAlias = tuple[str, int]
"""How a job is to end, and after how many hours; ``open``: it is to be running still."""

ends = st.tuples(
    st.sampled_from(["completed", "completed", "completed", "failed", "cancelled", "open"]), st.integers(0, 4)
)


@dataclass(frozen=True)
class Group:
    """Jobs that belong together: alone, a chain, a batch, a chain in a batch, or a batch in a chain."""

    kind: str
    ends: Sequence[End]
    queue: str


groups = st.builds(
    Group,
    st.sampled_from(["alone", "chain", "batch", "chain in batch", "batch in chain"]),
    st.lists(ends, min_size=1, max_size=4),
    st.sampled_from(["a", "b"]),
)


def stored(group: Group) -> tuple[list[NewJob], list[NewBatch]]:
    chain_id, batch_id = new_id(), new_id()
    size = len(group.ends)
    roles: tuple[BatchRole, ...] = ("then", "catch", "finally")
    callbacks = tuple(new_job(name="Call", batch_id=batch_id, batch_role=role, queue="calls") for role in roles)
    match group.kind:
        case "alone":
            return [new_job(queue=group.queue) for _ in range(size)], []
        case "chain":
            return new_chain(size, queue=group.queue), []
        case "batch":
            jobs = [new_job(queue=group.queue, batch_id=batch_id, batch_role="member") for _ in range(size)]
            return jobs, [NewBatch(batch_id, size, callbacks)]
        case "chain in batch":
            jobs = new_chain(size, queue=group.queue, batch_id=batch_id, batch_role="member")
            return jobs, [NewBatch(batch_id, size, callbacks)]
        case _:
            fields = {"queue": group.queue, "chain_id": chain_id}
            members = [new_job(position=0, batch_id=batch_id, batch_role="member", **fields) for _ in range(size)]
            return [*members, new_job(position=1, **fields)], [NewBatch(batch_id, size, callbacks, chain_id, 0)]


OUTCOMES: dict[str, Outcome] = {"completed": Completed(), "failed": Failed(ERROR), "cancelled": Cancelled("why")}


async def live(store: Store, clock: Clock, plan: dict[str, End]) -> None:
    """Let every job come to its end, hour by hour, thirty of them."""
    waiting = []
    for hour in range(30):
        for queue in ("a", "b", "calls"):
            claimed = (await claim(store, 100, queue=queue, names=frozenset({"Work", "Call"}))).jobs
            waiting += [(job, *plan.get(job.id, ("completed", 0))) for job in claimed]
        await store.settle([Settlement(job, OUTCOMES[end]) for job, end, left in waiting if not left and end != "open"])
        ended = [job for job, end, left in waiting if not left and end != "open"]
        waiting = [(job, end, max(left - 1, 0)) for job, end, left in waiting if left or end == "open"]
        if not ended and not any(left for _, _, left in waiting):
            clock.offset += HOUR * (30 - hour)
            return
        clock.offset += HOUR


def may_go(record: JobRecord, everything: Sequence[JobRecord], before: datetime) -> bool:
    """What the promise says of one job."""
    if record.finished_at is None or record.finished_at >= before:
        return False
    links = [one for one in everything if record.chain_id is not None and one.chain_id == record.chain_id]
    members = [
        one
        for one in everything
        if record.batch_id is not None and one.batch_id == record.batch_id and one.batch_role == "member"
    ]
    over = [one.finished_at for one in members]
    return all(link.finished_at is not None for link in links) and all(at is not None and at < before for at in over)


@pytest.mark.parametrize("name", PLACES)
@settings(max_examples=25, deadline=None, print_blob=True)
@given(st.lists(groups, max_size=6), st.integers(1, 6), st.integers(23, 31))
def test_what_is_old_and_belongs_to_nothing_unfinished_goes_and_nothing_else(
    name: str, made: list[Group], limit: int, hours: int
) -> None:
    async def check() -> None:
        with TemporaryDirectory() as folder:
            async with PLACES[name](Path(folder)) as place:
                await check_on(await open_or_skip(place, name), place.clock)

    async def check_on(store: Store, clock: Clock) -> None:
        jobs, batches, plan = [], [], {}
        for group in made:
            some, theirs = stored(group)
            jobs += some
            batches += theirs
            plan |= {job.id: end for job, end in zip(some, group.ends, strict=False)}
        await store.insert(jobs, batches=batches)
        await live(store, clock, plan)
        everything = (await store.jobs(JobFilter(), 1_000)).records
        # Half an hour off: between two ends, however long all of this takes.
        retention = hours * HOUR + HOUR / 2
        before = clock.now() - timedelta(seconds=retention)
        kept = {record.id for record in everything if not may_go(record, everything, before)}
        open_batches = {batch.id: await store.batch(batch.id) for batch in batches}

        assert await prune_all(store, retention, limit) == len(everything) - len(kept)
        left = (await store.jobs(JobFilter(), 1_000)).records
        assert {record.id for record in left} == kept
        assert [record for record in everything if record.id in kept] == list(left)
        members = {record.batch_id for record in left if record.batch_role == "member"}
        for batch_id, progress in open_batches.items():
            assert await store.batch(batch_id) == (progress if batch_id in members else None)
        counted = Counter((record.queue, record.status) for record in left)
        for queue, stats in (await store.stats()).items():
            for status in ("completed", "failed", "cancelled"):
                assert getattr(stats, status) == counted[queue, status]

    asyncio.run(check())
