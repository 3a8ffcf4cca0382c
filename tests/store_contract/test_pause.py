"""A paused queue: nothing is claimed from it, in any process, until it is resumed."""

from __future__ import annotations

import asyncio

from goose_queues.clock import Clock
from goose_queues.record import Completed, QueueStats, Released, Retry
from goose_queues.store import Store
from store_contract.making import ERROR, LEASE, MAX_DEATHS, claim, claim_one, ids, new_job, record_of, settle
from store_contract.places import Place
from waiting import wait_until


async def test_nothing_is_claimed_by_anyone(store: Store, other: Store) -> None:
    job, elsewhere = new_job(), new_job(queue="emails")
    await store.insert([job, elsewhere])
    await store.pause("default")
    assert (await claim(store)).jobs == (await claim(other)).jobs == ()
    assert ids(await claim(other, queue="emails")) == [elsewhere.id]
    record = await record_of(store, job)
    assert (record.status, record.attempts) == ("pending", 0)
    await other.resume("default")
    assert ids(await claim(store)) == [job.id]


async def test_what_runs_goes_on(store: Store, clock: Clock) -> None:
    await store.insert([new_job(), new_job(), new_job()])
    first, second, third = (await claim(store)).jobs
    await store.pause("default")
    clock.offset += 20
    tokens = {job.id: job.token for job in (first, second)}
    assert await asyncio.to_thread(store.extend, tokens, LEASE) == frozenset()
    assert await settle(store, first, Completed()) == frozenset()
    assert await settle(store, second, Retry(0, ERROR)) == frozenset()
    clock.offset += 20
    assert (await store.rescue(10, MAX_DEATHS)).returned == 1
    assert (await claim(store)).jobs == ()
    await store.resume("default")
    assert set(ids(await claim(store))) == {second.id, third.id}


async def test_dispatching_goes_on(store: Store) -> None:
    await store.pause("default")
    job = new_job()
    await store.insert([job])
    assert (await claim(store)).jobs == ()
    await store.resume("default")
    assert ids(await claim(store)) == [job.id]


async def test_what_comes_due_meanwhile_waits_and_keeps_its_order(store: Store, clock: Clock) -> None:
    later, now = new_job(priority=9, delay=60.0), new_job()
    await store.insert([now, later])
    await store.pause("default")
    clock.offset += 61
    paused = await claim(store)
    assert (paused.jobs, paused.next_due) == ((), None)
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled, stats.paused) == (2, 0, True)
    await store.resume("default")
    assert ids(await claim(store)) == [later.id, now.id]


async def test_a_release_under_a_pause_is_refunded_and_waits(store: Store) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await store.pause("default")
    await settle(store, job, Released())
    assert (await record_of(store, job)).attempts == 0
    assert (await claim(store)).jobs == ()


async def test_pausing_lasts_beyond_the_process(place: Place) -> None:
    first = await place.open()
    await first.insert([new_job()])
    await first.pause("default")
    await first.close()
    second = await place.open()
    assert (await claim(second)).jobs == ()
    assert (await second.stats())["default"].paused is True


async def test_stats_show_it_even_without_a_job(store: Store, other: Store) -> None:
    await store.pause("emails")
    assert await other.stats() == {"emails": QueueStats(paused=True)}
    await store.resume("emails")
    assert await other.stats() == {}


async def test_again_changes_nothing(store: Store, other: Store) -> None:
    await store.insert([new_job()])
    await store.resume("default")
    await asyncio.gather(*(one.pause("default") for one in (store, other, store, other)))
    assert (await claim(store)).jobs == ()
    await store.resume("default")
    await store.resume("default")
    assert len((await claim(store)).jobs) == 1


async def test_resuming_tells_the_workers_of_every_process(store: Store, other: Store) -> None:
    await store.insert([new_job()])
    await store.pause("default")
    here: list[frozenset[str]] = []
    there: list[frozenset[str]] = []
    store.subscribe(here.append)
    other.subscribe(there.append)
    for queue in ("default", "emails"):
        await claim(other, queue=queue)
    await store.insert([new_job(queue="emails")])
    await wait_until(lambda: any("emails" in queues for queues in there))
    here.clear()
    there.clear()
    await store.resume("default")
    assert {"default"} in here
    await wait_until(lambda: any("default" in queues for queues in there))


async def test_cancelling_and_retrying_work_under_a_pause(store: Store) -> None:
    job = new_job()
    await store.insert([job])
    await store.pause("default")
    await store.cancel(job.id, "why")
    await store.retry(job.id)
    assert (await claim(store)).jobs == ()
    assert (await record_of(store, job)).status == "pending"
    await store.resume("default")
    assert ids(await claim(store)) == [job.id]
