"""When a job may start: by the store's clock, never early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from goose_queues.clock import Clock
from goose_queues.store import Store
from store_contract.making import claim, ids, new_job


async def test_a_delay_counts_from_the_stores_own_time(store: Store, clock: Clock) -> None:
    clock.offset = 1_000_000.0
    job = new_job(delay=60.0)
    await store.insert([job])
    record = await store.get(job.id)
    assert record is not None
    assert record.available_at - record.created_at == timedelta(seconds=60)
    clock.offset += 59
    assert (await claim(store)).jobs == ()
    clock.offset += 1
    assert ids(await claim(store)) == [job.id]


async def test_a_delay_is_never_cut_short(store: Store) -> None:
    job = new_job(delay=0.250_000_1)
    await store.insert([job])
    record = await store.get(job.id)
    assert record is not None
    assert record.available_at - record.created_at == timedelta(microseconds=250_001)


async def test_a_job_is_claimed_from_its_time_on_and_not_before(store: Store, clock: Clock) -> None:
    due = datetime.now(UTC) + timedelta(days=1)
    job = new_job(due_at=due)
    await store.insert([job])
    clock.offset = (due - datetime.now(UTC)).total_seconds() - 5
    assert (await claim(store)).jobs == ()
    clock.offset += 5.001
    claimed = (await claim(store)).jobs
    assert [job.id for job in claimed] == [job.id]
    record = await store.get(job.id)
    assert record is not None
    assert record.available_at == due
    assert record.started_at is not None
    assert record.started_at >= due


async def test_microseconds_are_kept(store: Store) -> None:
    due = datetime(2041, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
    job = new_job(due_at=due)
    await store.insert([job])
    record = await store.get(job.id)
    assert record is not None
    assert record.available_at == due


async def test_a_time_in_another_zone_is_the_same_moment(store: Store) -> None:
    due = datetime(2041, 3, 4, 5, 0, tzinfo=UTC)
    there = due.astimezone(datetime.now().astimezone().tzinfo)
    job = new_job(due_at=there)
    await store.insert([job])
    record = await store.get(job.id)
    assert record is not None
    assert record.available_at == due


async def test_a_time_that_has_passed_means_now(store: Store) -> None:
    job = new_job(due_at=datetime(1969, 7, 20, tzinfo=UTC))
    await store.insert([job])
    assert ids(await claim(store)) == [job.id]


async def test_what_comes_due_is_claimed_whoever_looks_first(store: Store, other: Store, clock: Clock) -> None:
    jobs = [new_job(delay=10.0 + number) for number in range(3)]
    await store.insert(jobs)
    clock.offset += 11
    assert ids(await claim(other)) == [jobs[0].id, jobs[1].id]
    clock.offset += 1
    assert ids(await claim(store)) == [jobs[2].id]


async def test_a_million_years_do_not_stand_in_the_way(store: Store) -> None:
    far, now = new_job(due_at=datetime(9999, 12, 31, tzinfo=UTC)), new_job()
    await store.insert([far, now])
    assert ids(await claim(store)) == [now.id]
