"""Jobs of dead workers come back, and one that kills its workers does not come back for ever."""

from __future__ import annotations

import asyncio

from goose_queues.clock import Clock
from goose_queues.record import Completed, ErrorRecord, Failed, Released, Retry
from goose_queues.store import Store
from store_contract.making import ERROR, LEASE, MAX_DEATHS, claim, claim_one, ids, new_job, settle


async def die(store: Store, clock: Clock, times: int) -> None:
    """Let the worker that runs the one job die, some times in a row."""
    for _ in range(times):
        await claim_one(store)
        clock.offset += LEASE + 1
        await store.rescue(10, MAX_DEATHS)


async def test_a_job_whose_worker_died_runs_elsewhere(store: Store, other: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    await claim_one(store)
    clock.offset += LEASE - 1
    assert (await other.rescue(10, MAX_DEATHS)).returned == 0
    clock.offset += 2
    rescued = await other.rescue(10, MAX_DEATHS)
    assert (rescued.returned, rescued.failed, rescued.queues) == (1, 0, {"default"})
    again = await claim_one(other)
    assert (again.id, again.attempt, again.failures, again.deaths) == (job.id, 2, 0, 1)


async def test_a_lease_that_still_holds_is_left_alone(store: Store, clock: Clock) -> None:
    await store.insert([new_job(), new_job()])
    first = await claim_one(store)
    clock.offset += 20
    second = await claim_one(store)
    clock.offset += 20
    assert (await store.rescue(10, MAX_DEATHS)).returned == 1
    one, two = await store.get(first.id), await store.get(second.id)
    assert one is not None
    assert two is not None
    assert (one.status, two.status) == ("pending", "processing")


async def test_a_rescue_takes_no_more_than_its_limit(store: Store, clock: Clock) -> None:
    await store.insert([new_job() for _ in range(5)])
    await claim(store)
    clock.offset += LEASE + 1
    assert (await store.rescue(2, MAX_DEATHS)).returned == 2
    assert (await store.rescue(10, MAX_DEATHS)).returned == 3


async def test_two_rescuers_at_once_count_one_death(store: Store, other: Store, clock: Clock) -> None:
    jobs = [new_job() for _ in range(50)]
    await store.insert(jobs)
    await claim(store, 50)
    clock.offset += LEASE + 1
    rescues = await asyncio.gather(*(one.rescue(100, MAX_DEATHS) for one in (store, other, store, other)))
    assert sum(rescue.returned for rescue in rescues) == 50
    records = [await store.get(job.id) for job in jobs]
    assert {record.deaths for record in records if record is not None} == {1}


async def test_deaths_and_failures_are_counted_apart(store: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    await settle(store, await claim_one(store), Retry(0, ERROR))
    await die(store, clock, 1)
    await settle(store, await claim_one(store), Retry(0, ERROR))
    record = await store.get(job.id)
    assert record is not None
    assert (record.attempts, record.failures, record.deaths) == (3, 2, 1)


async def test_the_third_death_leaves_only_on_failure_to_run(store: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    await die(store, clock, 2)
    await claim_one(store)
    clock.offset += LEASE + 1
    rescued = await store.rescue(10, MAX_DEATHS)
    assert (rescued.returned, rescued.failed, rescued.queues) == (0, 1, {"default"})
    pending = await store.get(job.id)
    assert pending is not None
    assert pending.status == "pending"
    last = await claim_one(store)
    error = ErrorRecord("WorkerDied", "worker died 3 times", "")
    assert last.failed_with == error
    assert (last.attempt, last.deaths) == (3, 3)
    assert await settle(store, last, Failed(error)) == frozenset()
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.error) == ("failed", error)
    assert (record.attempts, record.failures, record.deaths) == (3, 0, 3)
    assert record.finished_at is not None


async def test_on_failure_that_was_given_back_comes_again(store: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    await die(store, clock, 3)
    await settle(store, await claim_one(store), Released())
    again = await claim_one(store)
    assert again.failed_with is not None
    assert again.attempt == 3


async def test_on_failure_that_kills_its_workers_too_ends(store: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    await die(store, clock, 5)
    assert (await claim_one(store)).failed_with is not None
    clock.offset += LEASE + 1
    rescued = await store.rescue(10, MAX_DEATHS)
    assert (rescued.returned, rescued.failed, rescued.queues) == (0, 1, frozenset())
    record = await store.get(job.id)
    assert record is not None
    assert (record.status, record.deaths) == ("failed", 6)
    assert record.error == ErrorRecord("WorkerDied", "worker died 3 times", "")
    assert (await store.stats())["default"].failed == 1


async def test_claimed_but_unstarted_jobs_count_no_death(store: Store, clock: Clock) -> None:
    jobs = [new_job() for _ in range(3)]
    await store.insert(jobs)
    assert ids(await claim(store, 3, slots=1)) == [job.id for job in jobs]
    clock.offset += LEASE + 1
    assert (await store.rescue(10, MAX_DEATHS)).returned == 3
    records = [await store.get(job.id) for job in jobs]
    assert [(record.deaths, record.attempts) for record in records if record is not None] == [(1, 1), (0, 0), (0, 0)]


async def test_a_rescued_job_keeps_its_place_in_the_line(store: Store, clock: Clock) -> None:
    first = new_job()
    await store.insert([first])
    await claim_one(store)
    await store.insert([new_job()])
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    assert (await claim_one(store)).id == first.id


async def test_the_dead_workers_late_verdict_is_refused(store: Store, clock: Clock) -> None:
    job = new_job()
    await store.insert([job])
    dead = await claim_one(store)
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    assert await settle(store, dead, Completed()) == {job.id}
    alive = await claim_one(store)
    assert await settle(store, dead, Failed(ERROR)) == {job.id}
    assert await settle(store, alive, Completed("1")) == frozenset()
