"""What a running attempt tells of itself is kept as long as it holds its job."""

from __future__ import annotations

from goose_queues.clock import Clock
from goose_queues.record import Completed, Retry
from goose_queues.store import Store
from store_contract.making import ERROR, LEASE, MAX_DEATHS, claim, claim_one, new_job, record_of, settle

HALF = '{"done": 5, "total": 10, "note": "Grüße"}'


async def test_the_latest_is_kept_and_changes_nothing_else(store: Store, other: Store) -> None:
    await store.insert([new_job(), new_job()])
    job, beside = (await claim(store)).jobs
    before = await record_of(store, job)
    assert before.progress is None
    assert await store.progress(job.id, job.token, "{}") is True
    assert await store.progress(job.id, job.token, HALF) is True
    record = await record_of(other, job)
    assert record.progress == HALF
    assert (record.status, record.started_at, record.available_at) == (
        "processing",
        before.started_at,
        before.available_at,
    )
    assert (await record_of(store, beside)).progress is None


async def test_it_stays_when_the_job_has_ended(store: Store) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.progress(job.id, job.token, HALF)
    await settle(store, job, Completed())
    assert await store.progress(job.id, job.token, "{}") is False
    assert (await record_of(store, job)).progress == HALF


async def test_without_the_token_nothing_is_written(store: Store) -> None:
    pending = new_job(name="Other")
    await store.insert([new_job(), pending])
    job = await claim_one(store)
    assert await store.progress(job.id, "wrong", HALF) is False
    assert await store.progress(pending.id, job.token, HALF) is False
    assert await store.progress("unknown", job.token, HALF) is False
    assert (await record_of(store, job)).progress is None
    assert (await record_of(store, pending)).progress is None


async def test_a_worker_that_lost_its_lease_writes_nothing(store: Store, other: Store, clock: Clock) -> None:
    await store.insert([new_job()])
    lost = await claim_one(store)
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    assert await store.progress(lost.id, lost.token, HALF) is False
    holder = await claim_one(other)
    assert await store.progress(lost.id, lost.token, HALF) is False
    assert (await record_of(store, lost)).progress is None
    assert await other.progress(holder.id, holder.token, HALF) is True


async def test_it_is_no_extension_of_the_lease(store: Store, clock: Clock) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    clock.offset += LEASE - 1
    assert await store.progress(job.id, job.token, HALF) is True
    clock.offset += 2
    assert (await store.rescue(10, MAX_DEATHS)).returned == 1


async def test_an_earlier_attempts_is_shown_until_the_next_tells(store: Store) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.progress(job.id, job.token, HALF)
    await settle(store, job, Retry(0, ERROR))
    again = await claim_one(store)
    assert (await record_of(store, again)).progress == HALF
    await store.progress(again.id, again.token, "{}")
    assert (await record_of(store, again)).progress == "{}"
