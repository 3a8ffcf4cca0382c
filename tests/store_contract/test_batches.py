"""A batch's jobs are counted together; what ends the last of them, or fails the first, calls back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from goose_queues.clock import Clock
from goose_queues.errors import JobExists
from goose_queues.ids import new_id
from goose_queues.record import (
    Cancelled,
    ClaimedJob,
    Completed,
    ErrorRecord,
    Failed,
    NewBatch,
    Released,
    Retry,
    Settlement,
    Snoozed,
)
from goose_queues.store import Store
from store_contract.making import (
    ERROR,
    LEASE,
    MAX_DEATHS,
    calls,
    claim,
    claim_one,
    counts_of,
    ids,
    members_of,
    new_batch,
    new_job,
    note_of,
    progress_of,
    record_of,
    settle,
    settle_all,
    statuses,
)

WEEK = 7 * 24 * 3600.0


async def test_when_the_last_member_has_completed_then_and_finally_are_called(store: Store) -> None:
    members, batch = new_batch(3, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    for _ in members:
        assert await calls(store) == []
        await settle(store, await claim_one(store), Completed())
    assert await calls(store) == ["finally", "then"]
    assert await calls(store) == []


async def test_at_the_first_failure_for_good_catch_is_called(store: Store) -> None:
    members, batch = new_batch(3, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    await settle(store, await claim_one(store), Retry(0, ERROR))
    assert await calls(store) == []
    jobs = (await claim(store)).jobs
    await settle(store, jobs[0], Failed(ERROR))
    assert await calls(store) == ["catch"]
    await settle(store, jobs[1], Failed(ERROR))
    assert await calls(store) == []
    await settle(store, jobs[2], Completed())
    assert await calls(store) == ["finally"]


@pytest.mark.parametrize("outcome", [Retry(0, ERROR), Snoozed(delay=0), Released()], ids=lambda it: type(it).__name__)
async def test_a_member_that_comes_back_has_not_ended(store: Store, outcome: Retry | Snoozed | Released) -> None:
    members, batch = new_batch(1, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    await settle(store, await claim_one(store), outcome)
    assert await calls(store) == []
    await settle(store, await claim_one(store), Completed())
    assert await calls(store) == ["finally", "then"]


async def test_a_cancelled_member_brings_neither_then_nor_catch(store: Store) -> None:
    members, batch = new_batch(3, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    await store.cancel(members[0].id, "not this one")
    assert await calls(store) == []
    one, another = (await claim(store)).jobs
    await settle(store, one, Cancelled("enough"))
    await settle(store, another, Completed())
    assert await calls(store) == ["finally"]
    assert await counts_of(store, batch) == (0, 0, 1, 0, 2)


async def test_a_purged_member_brings_neither_then_nor_catch(store: Store) -> None:
    members, batch = new_batch(3, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    running = await claim_one(store)
    assert (await store.purge("default", 100)).deleted == 2
    assert await calls(store) == []
    assert await counts_of(store, batch) == (0, 1, 0, 0, 2)
    await settle(store, running, Completed())
    assert await calls(store) == ["finally"]
    assert await counts_of(store, batch) == (0, 0, 1, 0, 2)


async def test_a_batch_whose_members_are_all_purged_is_over(store: Store) -> None:
    members, batch = new_batch(3, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    assert (await store.purge("default", 2)).deleted == 2
    assert await calls(store) == []
    assert (await store.purge("default", 2)).deleted == 1
    assert await calls(store) == ["finally"]
    assert (await progress_of(store, batch)).finished_at is not None


async def test_a_failure_that_is_the_end_calls_catch_and_finally(store: Store) -> None:
    members, batch = new_batch(1, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    await settle(store, await claim_one(store), Failed(ERROR))
    assert await calls(store) == ["catch", "finally"]


async def test_a_batch_without_callbacks_is_counted_all_the_same(store: Store) -> None:
    members, batch = new_batch(2)
    await store.insert(members, batches=[batch])
    await settle_all(store, (await claim(store)).jobs, Completed())
    assert await counts_of(store, batch) == (0, 0, 2, 0, 0)
    assert (await progress_of(store, batch)).finished_at is not None


@pytest.mark.parametrize(
    ("failures", "called"), [(0, ["finally", "then"]), (1, ["catch", "finally"]), (5, ["catch", "finally"])]
)
async def test_all_members_in_one_pack(store: Store, failures: int, called: list[str]) -> None:
    members, batch = new_batch(5, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    jobs = (await claim(store)).jobs
    await store.settle([Settlement(job, Failed(ERROR) if n < failures else Completed()) for n, job in enumerate(jobs)])
    assert await calls(store) == called


async def test_members_of_many_batches_in_one_pack(store: Store) -> None:
    batches = [new_batch(2, "then", "catch") for _ in range(20)]
    await store.insert([job for members, _ in batches for job in members], batches=[batch for _, batch in batches])
    jobs = (await claim(store, 100)).jobs
    broken = {batch.id for _, batch in batches[:10]}
    await store.settle(
        [Settlement(job, Failed(ERROR) if job.batch_id in broken else Completed()) for job in jobs],
    )
    called = (await claim(store, 100, names=frozenset({"Call"}))).jobs
    assert len(called) == 20
    assert {job.batch_id for job in called if job.batch_role == "catch"} == broken


async def test_members_that_end_at_the_same_moment_in_two_processes(store: Store, other: Store) -> None:
    members, batch = new_batch(200, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    jobs = (await claim(store, 200)).jobs
    packs = [jobs[start : start + 8] for start in range(0, 200, 8)]

    async def end(pack: Sequence[ClaimedJob], one: Store) -> None:
        await settle_all(one, pack, Completed())

    await asyncio.gather(*(end(pack, (store, other)[n % 2]) for n, pack in enumerate(packs)))
    assert await calls(store) == ["finally", "then"]
    assert await counts_of(other, batch) == (0, 0, 200, 0, 0)


async def test_a_callback_is_made_with_the_settlement_and_told_to_the_workers(store: Store, other: Store) -> None:
    heard: list[frozenset[str]] = []
    batch_id = new_id()
    then = new_job(name="Call", queue="calls", batch_id=batch_id, batch_role="then")
    await store.insert(members_of(batch_id, 1), batches=[NewBatch(batch_id, 1, (then,))])
    job = await claim_one(store)
    store.subscribe(heard.append)
    await settle(store, job, Completed())
    assert {"calls"} in heard
    assert ids(await claim(other, queue="calls", names=frozenset({"Call"}))) == [then.id]


async def test_progress_is_counted_at_every_stage(store: Store, clock: Clock) -> None:
    members, batch = new_batch(6)
    await store.insert(members, batches=[batch])
    begun = await progress_of(store, batch)
    assert (begun.id, begun.total, begun.finished_at) == (batch.id, 6, None)
    assert begun.created_at == (await record_of(store, members[0])).created_at
    assert await counts_of(store, batch) == (6, 0, 0, 0, 0)
    jobs = (await claim(store, 4)).jobs
    assert await counts_of(store, batch) == (2, 4, 0, 0, 0)
    await store.settle(
        [
            Settlement(jobs[0], Completed()),
            Settlement(jobs[1], Failed(ERROR)),
            Settlement(jobs[2], Cancelled("why")),
            Settlement(jobs[3], Retry(60.0, ERROR)),
        ]
    )
    assert await counts_of(store, batch) == (3, 0, 1, 1, 1)
    clock.offset += 61
    assert (await progress_of(store, batch)).finished_at is None
    await settle_all(store, (await claim(store)).jobs, Completed())
    assert await counts_of(store, batch) == (0, 0, 4, 1, 1)
    over = await progress_of(store, batch)
    assert over.finished_at is not None
    assert over.finished_at > over.created_at


async def test_progress_stays_when_the_members_have_been_pruned(store: Store, clock: Clock) -> None:
    members, batch = new_batch(3)
    await store.insert(members, batches=[batch])
    jobs = (await claim(store)).jobs
    await settle(store, jobs[0], Completed())
    await settle(store, jobs[1], Failed(ERROR))
    await settle(store, jobs[2], Cancelled("why"))
    over = await progress_of(store, batch)
    clock.offset += WEEK + 1
    pruned = await store.prune(WEEK, 2)
    assert (pruned.deleted, pruned.cursor is None) == (2, False)
    assert await progress_of(store, batch) == over


@pytest.mark.parametrize("text", ["", "abc", "x" * 1000, "\x00", "\ud800", "' OR 1=1 --", "Ä"])
async def test_a_batch_that_is_not_there(store: Store, text: str) -> None:
    members, batch = new_batch(1)
    await store.insert(members, batches=[batch])
    assert await store.batch(text) is None
    assert await store.batch(members[0].id) is None


async def test_without_members_it_is_over_at_once(store: Store) -> None:
    _, batch = new_batch(0, "then", "catch", "finally")
    await store.insert([], batches=[batch])
    assert await calls(store) == ["finally", "then"]
    over = await progress_of(store, batch)
    assert (over.total, over.finished_at) == (0, over.created_at)
    assert await counts_of(store, batch) == (0, 0, 0, 0, 0)


async def test_a_failed_member_that_is_retried_reopens_the_batch(store: Store) -> None:
    members, batch = new_batch(2, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    jobs = (await claim(store)).jobs
    await settle(store, jobs[0], Completed())
    await settle(store, jobs[1], Failed(ERROR))
    assert await calls(store) == ["catch", "finally"]
    await store.retry(jobs[1].id)
    assert (await progress_of(store, batch)).finished_at is None
    assert await counts_of(store, batch) == (1, 0, 1, 0, 0)
    await settle(store, await claim_one(store), Failed(ERROR))
    assert await calls(store) == [], "neither of them a second time"
    await store.retry(jobs[1].id)
    await settle(store, await claim_one(store), Completed())
    assert await calls(store) == ["then"], "which it never had"
    assert await counts_of(store, batch) == (0, 0, 2, 0, 0)


async def test_a_cancelled_member_that_is_retried_can_complete_the_batch(store: Store) -> None:
    members, batch = new_batch(2, "then", "finally")
    await store.insert(members, batches=[batch])
    await store.cancel(members[0].id, "a mistake")
    await settle(store, await claim_one(store), Completed())
    assert await calls(store) == ["finally"]
    await store.retry(members[0].id)
    await settle(store, await claim_one(store), Completed())
    assert await calls(store) == ["then"]


async def test_a_retry_after_some_members_were_pruned_can_complete_the_batch(store: Store, clock: Clock) -> None:
    members, batch = new_batch(3, "then")
    await store.insert(members, batches=[batch])
    for _ in range(2):
        await settle(store, await claim_one(store), Completed())
        clock.offset += 1
    last = await claim_one(store)
    await settle(store, last, Failed(ERROR))
    clock.offset += WEEK + 1
    assert (await store.prune(WEEK, 2)).deleted == 2
    assert await counts_of(store, batch) == (0, 0, 2, 1, 0)
    await store.retry(last.id)
    assert await counts_of(store, batch) == (1, 0, 2, 0, 0)
    await settle(store, await claim_one(store), Completed())
    assert await calls(store) == ["then"]
    assert await counts_of(store, batch) == (0, 0, 3, 0, 0)


async def test_a_chain_in_a_batch_counts_each_of_its_jobs(store: Store) -> None:
    batch_id, chain_id = new_id(), new_id()
    alone = members_of(batch_id, 1)
    links = [
        new_job(batch_id=batch_id, batch_role="member", chain_id=chain_id, position=position) for position in range(3)
    ]
    callbacks = tuple(new_job(name="Call", batch_id=batch_id, batch_role=role) for role in ("then", "finally"))
    batch = NewBatch(batch_id, 4, callbacks)
    await store.insert([*alone, *links], batches=[batch])
    jobs = (await claim(store)).jobs
    assert len(jobs) == 2
    assert await counts_of(store, batch) == (2, 2, 0, 0, 0)
    await settle_all(store, jobs, Completed())
    for _ in range(2):
        assert await calls(store) == []
        await settle(store, await claim_one(store), Completed())
    assert await calls(store) == ["finally", "then"]
    assert await counts_of(store, batch) == (0, 0, 4, 0, 0)


async def test_the_rest_of_a_broken_chain_in_a_batch_counts_as_cancelled(store: Store) -> None:
    batch_id, chain_id = new_id(), new_id()
    links = [
        new_job(batch_id=batch_id, batch_role="member", chain_id=chain_id, position=position) for position in range(3)
    ]
    callbacks = tuple(new_job(name="Call", batch_id=batch_id, batch_role=r) for r in ("then", "catch", "finally"))
    batch = NewBatch(batch_id, 3, callbacks)
    await store.insert(links, batches=[batch])
    await settle(store, await claim_one(store), Failed(ERROR))
    assert await statuses(store, links) == ["failed", "cancelled", "cancelled"]
    assert await counts_of(store, batch) == (0, 0, 0, 1, 2)
    assert await calls(store) == ["catch", "finally"]
    await store.retry(links[0].id)
    assert await counts_of(store, batch) == (3, 0, 0, 0, 0)
    for _ in links:
        await settle(store, await claim_one(store), Completed())
    assert await calls(store) == ["then"]


async def test_a_lost_lease_calls_nobody(store: Store, clock: Clock) -> None:
    members, batch = new_batch(1, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    lost = await claim_one(store)
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    for outcome in (Completed(), Failed(ERROR), Cancelled("why")):
        assert await settle(store, lost, outcome) == {lost.id}
    assert await calls(store) == []
    assert (await progress_of(store, batch)).finished_at is None


async def test_a_member_that_kills_its_workers_calls_catch_and_finally(store: Store, clock: Clock) -> None:
    members, batch = new_batch(1, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    for _ in range(MAX_DEATHS):
        await claim_one(store)
        clock.offset += LEASE + 1
        await store.rescue(10, MAX_DEATHS)
        assert await calls(store) == []
    doomed = await claim_one(store)
    assert doomed.failed_with == ErrorRecord("WorkerDied", "worker died 3 times", "")
    await settle(store, doomed, Failed(doomed.failed_with))
    assert await calls(store) == ["catch", "finally"]


async def test_a_rescue_that_fails_a_member_calls_catch_and_finally(store: Store, clock: Clock) -> None:
    members, batch = new_batch(1, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    for _ in range(2 * MAX_DEATHS):
        await claim_one(store)
        clock.offset += LEASE + 1
        rescued = await store.rescue(10, MAX_DEATHS)
    assert rescued.queues == {"default"}, "the callbacks are to be claimed"
    assert await statuses(store, members) == ["failed"]
    assert await calls(store) == ["catch", "finally"]


async def test_a_rescue_of_a_member_that_was_to_be_cancelled_calls_finally(store: Store, clock: Clock) -> None:
    members, batch = new_batch(1, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    job = await claim_one(store)
    await store.cancel(job.id, "too late")
    clock.offset += LEASE + 1
    assert (await store.rescue(10, MAX_DEATHS)).cancelled == 1
    assert await calls(store) == ["finally"]
    assert await note_of(store, members[0]) == "too late"


async def test_a_callback_keeps_the_fields_it_was_given(store: Store, clock: Clock) -> None:
    batch_id = new_id()
    then = new_job(
        name="Call",
        queue="calls",
        payload='{"text":"Grüße"}',
        priority=-7,
        max_retries=9,
        timeout=None,
        meta='{"tenant":"acme"}',
        batch_id=batch_id,
        batch_role="then",
    )
    await store.insert(members_of(batch_id, 1), batches=[NewBatch(batch_id, 1, (then,))])
    assert await store.get(then.id) is None
    clock.offset += 100
    last = await claim_one(store)
    await settle(store, last, Completed())
    record = await record_of(store, then)
    assert (record.name, record.queue, record.payload, record.meta) == ("Call", "calls", then.payload, then.meta)
    assert (record.priority, record.max_retries, record.timeout) == (-7, 9, None)
    assert (record.batch_id, record.batch_role, record.chain_id) == (batch_id, "then", None)
    assert (record.status, record.attempts, record.created_at) == ("pending", 0, record.available_at)
    assert record.created_at == (await record_of(store, last)).finished_at


async def test_a_callback_is_no_member_and_its_failure_calls_nobody(store: Store) -> None:
    members, batch = new_batch(1, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    await settle(store, await claim_one(store), Completed())
    over = await progress_of(store, batch)
    callbacks = (await claim(store, names=frozenset({"Call"}))).jobs
    await settle_all(store, callbacks, Failed(ERROR))
    assert await calls(store) == []
    assert await progress_of(store, batch) == over


async def test_a_callback_can_be_cancelled_and_retried_like_any_job(store: Store) -> None:
    members, batch = new_batch(1, "finally")
    await store.insert(members, batches=[batch])
    await settle(store, await claim_one(store), Completed())
    over = await progress_of(store, batch)
    await store.cancel(batch.callbacks[0].id, "not now")
    assert await calls(store) == []
    await store.retry(batch.callbacks[0].id)
    assert await calls(store) == ["finally"]
    assert await progress_of(store, batch) == over


async def test_all_of_a_batch_or_nothing(store: Store) -> None:
    members, batch = new_batch(2, "then")
    in_the_way = new_job()
    await store.insert([in_the_way])
    with pytest.raises(JobExists):
        await store.insert([*members, new_job(id=in_the_way.id)], batches=[batch])
    assert await store.batch(batch.id) is None
    assert await store.get(members[1].id) is None
    await store.insert(members, batches=[batch])
    assert await counts_of(store, batch) == (2, 0, 0, 0, 0)


async def test_a_large_batch_is_stored_and_ended_whole(store: Store) -> None:
    members, batch = new_batch(2_500, "then", "finally")
    await store.insert(members, batches=[batch])
    for _ in range(3):
        await settle_all(store, (await claim(store, 1_000)).jobs, Completed())
    assert await calls(store) == ["finally", "then"]
    assert await counts_of(store, batch) == (0, 0, 2_500, 0, 0)
