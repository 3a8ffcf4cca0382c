"""A chain's links run one after the other; the settlement that ends one decides about the next."""

from __future__ import annotations

import pytest

from goose_queues.clock import Clock
from goose_queues.errors import JobConflict
from goose_queues.ids import new_id
from goose_queues.record import Cancelled, Completed, Failed, NewBatch, NewJob, Released, Retry, Settlement, Snoozed
from goose_queues.store import Store
from store_contract.making import (
    ERROR,
    LEASE,
    MAX_DEATHS,
    calls,
    claim,
    claim_one,
    complete_only,
    ids,
    members_of,
    new_chain,
    new_job,
    note_of,
    progress_of,
    settle,
    statuses,
)


async def test_a_link_waits_until_the_one_before_has_completed(store: Store) -> None:
    links = new_chain(3)
    await store.insert(links)
    for link in links:
        claimed = await claim(store)
        assert ids(claimed) == [link.id]
        assert (claimed.jobs[0].chain_id, claimed.jobs[0].position) == (link.chain_id, link.position)
        assert (await claim(store)).jobs == ()
        await settle(store, claimed.jobs[0], Completed())
    assert await statuses(store, links) == ["completed"] * 3
    assert (await claim(store)).jobs == ()


async def test_waiting_links_count_as_scheduled_and_read_as_pending(store: Store) -> None:
    links = new_chain(4)
    await store.insert(links)
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled) == (1, 3)
    assert await statuses(store, links) == ["pending"] * 4
    await settle(store, await claim_one(store), Completed())
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled, stats.completed) == (1, 2, 1)


async def test_each_link_goes_to_its_own_queue(store: Store) -> None:
    first, second = new_chain(2)
    second = new_job(queue="emails", chain_id=second.chain_id, position=1)
    await store.insert([first, second])
    assert (await claim(store, queue="emails")).jobs == ()
    await settle(store, await claim_one(store), Completed())
    assert ids(await claim(store, queue="emails")) == [second.id]


@pytest.mark.parametrize("outcome", [Retry(0, ERROR), Snoozed(delay=0), Released()], ids=lambda it: type(it).__name__)
async def test_a_link_that_comes_back_lets_nobody_begin(store: Store, outcome: Retry | Snoozed | Released) -> None:
    links = new_chain(2)
    await store.insert(links)
    await settle(store, await claim_one(store), outcome)
    assert ids(await claim(store)) == [links[0].id]


async def test_a_delayed_chain_begins_with_its_first_link(store: Store, clock: Clock) -> None:
    chain_id = new_id()
    links = [new_job(chain_id=chain_id, position=0, delay=60.0), new_job(chain_id=chain_id, position=1)]
    await store.insert(links)
    assert (await claim(store)).jobs == ()
    clock.offset += 61
    assert ids(await claim(store)) == [links[0].id]


@pytest.mark.parametrize(
    ("outcome", "how"), [(Failed(ERROR), "failed"), (Cancelled("enough"), "was cancelled")], ids=["failed", "cancelled"]
)
async def test_behind_a_broken_link_all_are_cancelled_with_the_reason(
    store: Store, outcome: Failed | Cancelled, how: str
) -> None:
    links = new_chain(4)
    await store.insert(links)
    await settle(store, await claim_one(store), Completed())
    await settle(store, await claim_one(store), outcome)
    assert (await statuses(store, links))[2:] == ["cancelled", "cancelled"]
    for link in links[2:]:
        record = await store.get(link.id)
        assert record is not None
        assert record.note == f"Work {links[1].id}, before it in its chain, {how}"
        assert record.finished_at is not None
        assert record.attempts == 0
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled, stats.completed) == (0, 0, 1)
    assert stats.failed + stats.cancelled == 3


async def test_a_lost_lease_lets_nobody_begin(store: Store, clock: Clock) -> None:
    links = new_chain(2)
    await store.insert(links)
    lost = await claim_one(store)
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    holder = await claim_one(store)
    assert await settle(store, lost, Completed()) == {links[0].id}
    assert (await claim(store)).jobs == ()
    await settle(store, holder, Completed())
    assert ids(await claim(store)) == [links[1].id]


async def test_a_link_that_kills_its_workers_breaks_the_chain(store: Store, clock: Clock) -> None:
    links = new_chain(2)
    await store.insert(links)
    for _ in range(2 * MAX_DEATHS):
        await claim_one(store)
        clock.offset += LEASE + 1
        await store.rescue(10, MAX_DEATHS)
    assert await statuses(store, links) == ["failed", "cancelled"]


async def test_a_retry_revives_what_its_failure_had_cancelled(store: Store) -> None:
    links = new_chain(4)
    await store.insert(links)
    await settle(store, await claim_one(store), Completed())
    await settle(store, await claim_one(store), Failed(ERROR))
    await store.retry(links[1].id)
    assert await statuses(store, links) == ["completed", "pending", "pending", "pending"]
    assert await note_of(store, links[2]) is None
    for link in links[1:]:
        await complete_only(store, link)
    assert await statuses(store, links) == ["completed"] * 4
    stats = (await store.stats())["default"]
    assert (stats.completed, stats.cancelled, stats.failed, stats.scheduled) == (4, 0, 0, 0)


async def test_a_retry_leaves_alone_what_somebody_else_cancelled(store: Store) -> None:
    links = new_chain(4)
    await store.insert(links)
    await store.cancel(links[2].id, "not this one")
    assert await statuses(store, links) == ["pending", "pending", "cancelled", "cancelled"]
    await settle(store, await claim_one(store), Failed(ERROR))
    await store.retry(links[0].id)
    assert await statuses(store, links) == ["pending", "pending", "cancelled", "cancelled"]
    await settle(store, await claim_one(store), Completed())
    await settle(store, await claim_one(store), Completed())
    assert (await claim(store)).jobs == ()
    await store.retry(links[2].id)
    for link in links[2:]:
        await complete_only(store, link)


async def test_a_follower_cannot_be_retried_before_what_broke_the_chain(store: Store) -> None:
    links = new_chain(3)
    await store.insert(links)
    await settle(store, await claim_one(store), Failed(ERROR))
    with pytest.raises(JobConflict) as caught:
        await store.retry(links[1].id)
    assert str(caught.value) == (
        f"job {links[1].id} is cancelled: {links[0].id}, before it in its chain, is failed: "
        "retry that one, and this one follows"
    )
    assert await statuses(store, links) == ["failed", "cancelled", "cancelled"]


async def test_a_cancelled_link_that_is_retried_in_time_waits_for_its_turn(store: Store) -> None:
    links = new_chain(3)
    await store.insert(links)
    await store.cancel(links[1].id, "a mistake")
    await store.retry(links[1].id)
    assert await statuses(store, links) == ["pending"] * 3
    for link in links:
        await complete_only(store, link)


async def test_many_chains_in_one_pack(store: Store) -> None:
    chains = [new_chain(2) for _ in range(20)]
    await store.insert([link for chain in chains for link in chain])
    jobs = (await claim(store, 100)).jobs
    assert len(jobs) == 20
    await store.settle([Settlement(job, Completed() if n % 2 else Failed(ERROR)) for n, job in enumerate(jobs)])
    ready = set(ids(await claim(store, 100)))
    assert ready == {chain[1].id for chain in chains if (await statuses(store, chain[:1])) == ["completed"]}
    assert len(ready) == 10


def a_batch_link(chain_id: str, position: int, size: int, **fields: object) -> tuple[list[NewJob], NewBatch]:
    batch_id = new_id()
    members = members_of(batch_id, size, chain_id=chain_id, position=position, **fields)
    then, last = (new_job(batch_id=batch_id, batch_role=role, name="Call") for role in ("then", "finally"))
    return members, NewBatch(batch_id, size, (then, last), chain_id, position)


async def test_a_batch_as_a_link_begins_and_ends_as_one(store: Store) -> None:
    chain_id = new_id()
    first, last = (new_job(chain_id=chain_id, position=place) for place in (0, 2))
    members, batch = a_batch_link(chain_id, 1, 3)
    await store.insert([first, *members, last], batches=[batch])
    await settle(store, await claim_one(store), Completed())
    jobs = (await claim(store)).jobs
    assert {job.id for job in jobs} == {member.id for member in members}
    await store.settle([Settlement(job, Completed()) for job in jobs[:2]])
    assert (await claim(store)).jobs == ()
    await settle(store, jobs[2], Completed())
    assert ids(await claim(store)) == [last.id]
    assert len((await claim(store, names=frozenset({"Call"}))).jobs) == 2


async def test_a_batch_with_a_failure_breaks_the_chain_at_once(store: Store) -> None:
    chain_id = new_id()
    members, batch = a_batch_link(chain_id, 0, 3)
    behind, other = a_batch_link(chain_id, 1, 2)
    last = new_job(chain_id=chain_id, position=2)
    await store.insert([*members, *behind, last], batches=[batch, other])
    jobs = (await claim(store)).jobs
    await settle(store, jobs[0], Failed(ERROR))
    assert await statuses(store, [*behind, last]) == ["cancelled"] * 3
    assert await note_of(store, last) == f"batch {batch.id}, before it in its chain, failed"
    progress = await store.batch(other.id)
    assert progress is not None
    assert (progress.cancelled, progress.finished_at is not None) == (2, True)
    called = (await claim(store, names=frozenset({"Call"}))).jobs
    assert [job.id for job in called] == [other.callbacks[1].id], "only finally_ of what was cancelled"
    await store.settle([Settlement(job, Completed()) for job in jobs[1:]])
    assert ids(await claim(store, names=frozenset({"Call"}))) == [batch.callbacks[1].id]


async def test_a_retried_member_lets_the_chain_go_on(store: Store) -> None:
    chain_id = new_id()
    members, batch = a_batch_link(chain_id, 0, 2)
    last = new_job(chain_id=chain_id, position=1)
    await store.insert([*members, last], batches=[batch])
    jobs = (await claim(store)).jobs
    await store.settle([Settlement(jobs[0], Failed(ERROR)), Settlement(jobs[1], Completed())])
    assert await statuses(store, [last]) == ["cancelled"]
    await store.retry(jobs[0].id)
    assert await statuses(store, [last]) == ["pending"]
    await settle(store, await claim_one(store), Completed())
    assert ids(await claim(store)) == [last.id]
    assert sorted(ids(await claim(store, names=frozenset({"Call"})))) == sorted(job.id for job in batch.callbacks)


async def test_with_another_failure_left_the_chain_stays_broken_after_a_retry(store: Store) -> None:
    chain_id = new_id()
    members, batch = a_batch_link(chain_id, 0, 2)
    last = new_job(chain_id=chain_id, position=1)
    await store.insert([*members, last], batches=[batch])
    jobs = (await claim(store)).jobs
    await store.settle([Settlement(job, Failed(ERROR)) for job in jobs])
    await store.retry(jobs[0].id)
    await settle(store, await claim_one(store), Completed())
    assert await statuses(store, [last]) == ["cancelled"]
    assert (await claim(store)).jobs == ()


@pytest.mark.parametrize("turn", [0, 1, 2], ids=["first", "in the middle", "last"])
async def test_a_batch_without_members_is_over_when_its_turn_comes(store: Store, turn: int) -> None:
    chain_id = new_id()
    positions = [position for position in range(3) if position != turn]
    links = [new_job(chain_id=chain_id, position=position) for position in positions]
    _, empty = a_batch_link(chain_id, turn, 0)
    await store.insert(links, batches=[empty])
    for number, link in enumerate(links):
        over = turn == 0 or number >= turn
        progress = await store.batch(empty.id)
        assert progress is not None
        assert (progress.finished_at is not None) == over
        await complete_only(store, link)
    assert sorted(ids(await claim(store, names=frozenset({"Call"})))) == sorted(job.id for job in empty.callbacks)


async def test_a_thousand_batches_without_members_in_a_row(store: Store) -> None:
    chain_id = new_id()
    first, last = new_job(chain_id=chain_id, position=0), new_job(chain_id=chain_id, position=999)
    batches = [NewBatch(new_id(), 0, (), chain_id, place) for place in range(1, 999)]
    await store.insert([first, last], batches=batches)
    await settle(store, await claim_one(store), Completed())
    assert ids(await claim(store)) == [last.id]


async def test_behind_a_broken_link_a_batch_without_members_only_ends(store: Store) -> None:
    chain_id = new_id()
    first = new_job(chain_id=chain_id, position=0)
    _, empty = a_batch_link(chain_id, 1, 0)
    await store.insert([first], batches=[empty])
    await settle(store, await claim_one(store), Failed(ERROR))
    assert ids(await claim(store, names=frozenset({"Call"}))) == [empty.callbacks[1].id]


async def test_a_retry_brings_batches_without_members_back_to_their_turn(store: Store) -> None:
    chain_id = new_id()
    first, last = (new_job(chain_id=chain_id, position=place) for place in (0, 2))
    _, empty = a_batch_link(chain_id, 1, 0)
    await store.insert([first, last], batches=[empty])
    await settle(store, await claim_one(store), Failed(ERROR))
    assert await calls(store) == ["finally"]
    await store.retry(first.id)
    assert (await progress_of(store, empty)).finished_at is None
    await complete_only(store, first)
    assert await calls(store) == ["then"], "and finally_ not again"
    assert (await progress_of(store, empty)).finished_at is not None
    await complete_only(store, last)


async def test_a_retry_leaves_batches_without_members_alone_that_another_end_had_cut_off(store: Store) -> None:
    chain_id = new_id()
    first, second = (new_job(chain_id=chain_id, position=place) for place in (0, 1))
    _, empty = a_batch_link(chain_id, 2, 0)
    await store.insert([first, second], batches=[empty])
    await store.cancel(second.id, "not this one")
    await settle(store, await claim_one(store), Failed(ERROR))
    await store.retry(first.id)
    assert (await progress_of(store, empty)).finished_at is not None
    await store.retry(second.id)
    assert (await progress_of(store, empty)).finished_at is None
    await complete_only(store, first)
    await complete_only(store, second)
    assert await calls(store) == ["finally", "then"]


async def test_a_retried_link_waits_for_all_before_it_not_only_for_its_neighbour(store: Store) -> None:
    chain_id = new_id()
    first, last = (new_job(chain_id=chain_id, position=place) for place in (0, 2))
    _, empty = a_batch_link(chain_id, 1, 0)
    await store.insert([first, last], batches=[empty])
    await store.cancel(last.id, "a mistake")
    await store.retry(last.id)
    await complete_only(store, first)
    await complete_only(store, last)


async def test_a_link_behind_one_that_was_purged_runs_after_a_retry_and_in_its_turn(store: Store) -> None:
    first, purged, last = new_chain(3)
    purged = new_job(id=purged.id, queue="emails", chain_id=first.chain_id, position=1)
    await store.insert([first, purged, last])
    assert (await store.purge("emails", 10)).deleted == 1
    assert await statuses(store, [first, purged, last]) == ["pending", None, "cancelled"]
    await store.retry(last.id)
    await complete_only(store, first)
    await complete_only(store, last)


async def test_a_purged_link_breaks_its_chain(store: Store) -> None:
    links = new_chain(3)
    links[0] = new_job(id=links[0].id, queue="emails", chain_id=links[0].chain_id, position=0)
    await store.insert(links)
    assert (await store.purge("emails", 10)).deleted == 1
    assert await statuses(store, links) == [None, "cancelled", "cancelled"]
    assert await note_of(store, links[1]) == f"Work {links[0].id}, before it in its chain, was cancelled"


async def test_a_chain_purged_whole_leaves_nothing(store: Store) -> None:
    chains = [new_chain(5) for _ in range(10)]
    await store.insert([link for chain in chains for link in chain])
    running = await claim_one(store)
    assert (await store.purge("default", 100)).deleted == 49
    await settle(store, running, Completed())
    assert (await claim(store)).jobs == ()
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled, stats.completed, stats.cancelled) == (0, 0, 1, 0)
