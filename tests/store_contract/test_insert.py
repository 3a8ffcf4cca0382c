"""What is inserted can be read back whole, all of it or nothing."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from goose_queues.errors import JobExists, StoreUnavailable
from goose_queues.store import Store
from store_contract.making import claim, ids, new_job
from store_contract.places import Place


async def test_a_job_comes_back_as_it_was_given(store: Store) -> None:
    job = new_job(payload='{"text":"Grüße 🪿 \\u0000"}', meta='{"tenant":"acme"}', priority=-5, max_retries=0)
    await store.insert([job])
    record = await store.get(job.id)
    assert record is not None
    assert (record.id, record.name, record.queue) == (job.id, "Work", "default")
    assert (record.payload, record.meta) == (job.payload, job.meta)
    assert (record.priority, record.max_retries, record.timeout) == (-5, 0, 60.0)
    assert (record.status, record.attempts, record.failures, record.deaths) == ("pending", 0, 0, 0)
    assert (record.started_at, record.finished_at, record.error, record.result) == (None, None, None, None)
    assert record.available_at == record.created_at
    assert abs(record.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert record.cancel_requested is False


async def test_a_job_without_a_timeout_has_none(store: Store) -> None:
    job = new_job(timeout=None)
    await store.insert([job])
    claimed = (await claim(store)).jobs[0]
    assert claimed.timeout is None


async def test_many_jobs_are_stored_in_one_go(store: Store) -> None:
    jobs = [new_job() for _ in range(2500)]
    await store.insert(jobs)
    assert (await store.stats())["default"].pending == 2500


async def test_no_jobs_at_all_is_fine(store: Store) -> None:
    await store.insert([])
    assert await store.stats() == {}


async def test_one_bad_job_among_many_leaves_none(store: Store) -> None:
    first, again = new_job(), new_job()
    await store.insert([first])
    with pytest.raises(JobExists):
        await store.insert([again, new_job(id=first.id), new_job()])
    assert await store.get(again.id) is None
    assert (await store.stats())["default"].pending == 1


async def test_the_same_id_twice_is_refused_and_the_first_stays(store: Store) -> None:
    job = new_job(payload="1")
    await store.insert([job])
    with pytest.raises(JobExists) as caught:
        await store.insert([new_job(id=job.id, payload="2")])
    record = await store.get(job.id)
    assert record is not None
    assert record.payload == "1"
    sentence = r"\S+ has a job of this id already: every dispatch makes a new id, so it was sent twice"
    assert re.fullmatch(sentence, str(caught.value))


async def test_what_one_process_inserts_another_claims(store: Store, other: Store) -> None:
    job = new_job()
    await store.insert([job])
    assert ids(await claim(other)) == [job.id]


async def test_jobs_survive_the_process_that_inserted_them(place: Place) -> None:
    first, job = await place.open(), new_job()
    await first.insert([job])
    await first.close()
    assert await (await place.open()).get(job.id) is not None


async def test_a_large_payload_is_kept(store: Store) -> None:
    job = new_job(payload='"' + "x" * 256 * 1024 + '"')
    await store.insert([job])
    assert (await claim(store)).jobs[0].payload == job.payload


async def test_a_store_that_is_closed_says_so(place: Place, store: Store) -> None:
    await store.close()
    with pytest.raises(StoreUnavailable) as caught:
        await store.insert([new_job()])
    assert str(caught.value) == f"the queue's store {place.shown} is not available: it is not open."
    assert caught.value.status_code == 503
    await store.close()


async def test_a_cancelled_caller_leaves_all_or_nothing(store: Store) -> None:
    batches = [[new_job() for _ in range(20)] for _ in range(30)]
    tasks = [asyncio.ensure_future(store.insert(batch)) for batch in batches]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for batch, outcome in zip(batches, done, strict=True):
        there = {await store.get(job.id) is not None for job in batch}
        assert len(there) == 1
        assert there == {True} or isinstance(outcome, asyncio.CancelledError)
