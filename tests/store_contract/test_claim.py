"""Who gets which job, and in what order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from goose_queues.clock import Clock
from goose_queues.record import Completed, Settlement
from goose_queues.store import Store
from store_contract.making import MAX_DEATHS, claim, claim_one, ids, new_job


async def test_a_claimed_job_carries_all_that_its_handler_needs(store: Store) -> None:
    job = new_job(meta='{"tenant":"acme"}', priority=4)
    await store.insert([job])
    claimed = await claim_one(store)
    record = await store.get(job.id)
    assert record is not None
    assert (claimed.id, claimed.name, claimed.queue) == (job.id, "Work", "default")
    assert (claimed.payload, claimed.meta, claimed.priority) == (job.payload, job.meta, 4)
    assert (claimed.attempt, claimed.failures, claimed.deaths) == (1, 0, 0)
    assert (claimed.max_retries, claimed.timeout) == (3, 60.0)
    assert claimed.dispatched_at == record.created_at
    assert claimed.failed_with is None
    assert (record.status, record.attempts) == ("processing", 1)
    assert record.started_at is not None
    assert record.started_at >= record.created_at


async def test_a_claimed_job_is_not_claimed_again(store: Store, other: Store) -> None:
    await store.insert([new_job()])
    assert len((await claim(store)).jobs) == 1
    assert (await claim(other)).jobs == ()


async def test_no_more_than_the_limit_are_claimed(store: Store) -> None:
    await store.insert([new_job() for _ in range(5)])
    assert len((await claim(store, 2)).jobs) == 2
    assert (await claim(store, 0)).jobs == ()
    assert len((await claim(store, 100)).jobs) == 3


async def test_order_is_priority_then_due_time_then_id(store: Store) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    low = [new_job(priority=-1, due_at=past - timedelta(days=1))]
    late = [new_job(priority=5, due_at=past + timedelta(seconds=1))]
    same = [new_job(priority=5, due_at=past) for _ in range(20)]
    high = [new_job(priority=6)]
    await store.insert([*reversed(same), *late, *low, *high])
    wanted = [job.id for job in (*high, *same, *late, *low)]
    assert ids(await claim(store, 7)) == wanted[:7]
    assert ids(await claim(store, 100)) == wanted[7:]


async def test_the_claim_that_finds_a_scheduled_job_due_keeps_the_order(store: Store, clock: Clock) -> None:
    later, now = new_job(priority=9, delay=60.0), new_job(priority=1)
    await store.insert([now, later])
    clock.offset += 61
    assert ids(await claim(store)) == [later.id, now.id]


async def test_queues_are_apart(store: Store) -> None:
    emails, default = new_job(queue="emails"), new_job()
    await store.insert([emails, default])
    assert ids(await claim(store, queue="emails")) == [emails.id]
    assert ids(await claim(store)) == [default.id]
    assert (await claim(store, queue="nobody")).jobs == ()


async def test_an_unknown_name_is_left_to_those_who_know_it(store: Store, other: Store) -> None:
    unknown, known = new_job(name="Newer", priority=9), new_job()
    await store.insert([unknown, known])
    assert ids(await claim(store)) == [known.id]
    assert (await claim(store, names=frozenset())).jobs == ()
    record = await store.get(unknown.id)
    assert record is not None
    assert (record.status, record.attempts) == ("pending", 0)
    assert ids(await claim(other, names=frozenset({"Newer", "Work", "More"}))) == [unknown.id]


async def test_every_claim_gives_a_new_token(store: Store, clock: Clock) -> None:
    await store.insert([new_job()])
    first = await claim_one(store)
    clock.offset += 31
    await store.rescue(10, MAX_DEATHS)
    second = await claim_one(store)
    assert first.token != second.token
    assert (first.attempt, second.attempt) == (1, 2)


async def test_an_empty_claim_says_when_the_next_job_is_due(store: Store) -> None:
    assert (await claim(store)).next_due is None
    await store.insert([new_job(delay=90.0), new_job(delay=40.0), new_job(queue="emails", delay=5.0)])
    claimed = await claim(store)
    assert claimed.jobs == ()
    assert claimed.next_due is not None
    assert 30 < claimed.next_due <= 40


async def test_two_processes_share_a_queue_without_a_double(store: Store, other: Store) -> None:
    jobs = [new_job() for _ in range(400)]
    await store.insert(jobs)

    async def work(one: Store) -> list[str]:
        done: list[str] = []
        while claimed := (await claim(one, 7)).jobs:
            assert await one.settle([Settlement(job, Completed()) for job in claimed]) == frozenset()
            done.extend(job.id for job in claimed)
        return done

    done = [job_id for part in await asyncio.gather(*map(work, (store, other, store, other))) for job_id in part]
    assert sorted(done) == sorted(job.id for job in jobs)
    assert (await store.stats())["default"].completed == 400


async def test_a_job_with_two_deaths_is_claimed_alone(store: Store, clock: Clock) -> None:
    poison = new_job(priority=5)
    await store.insert([poison])
    for _ in range(2):
        assert len((await claim(store)).jobs) == 1
        clock.offset += 31
        await store.rescue(10, MAX_DEATHS)
    first, last = new_job(priority=9), new_job(priority=1)
    await store.insert([first, last])
    assert ids(await claim(store)) == [first.id]
    alone = await claim(store)
    assert ids(alone) == [poison.id]
    assert alone.jobs[0].deaths == 2
    left = await claim(store)
    assert ids(left) == [last.id]
    assert left.jobs[0].attempt == 1
