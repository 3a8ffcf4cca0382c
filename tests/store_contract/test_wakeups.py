"""Whoever waits for work hears of it, from this process and from others: of queues from which it has claimed in vain."""

from __future__ import annotations

import pytest

from goose_queues.clock import Clock
from goose_queues.record import Completed, Released, Retry
from goose_queues.store import Store
from store_contract.making import ERROR, LEASE, MAX_DEATHS, claim, claim_one, new_job, settle
from waiting import wait_until


async def test_an_insert_in_this_process_tells_at_once(store: Store) -> None:
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    await store.insert([new_job(), new_job(queue="emails")])
    assert {"default", "emails"} in heard


async def test_an_insert_in_another_process_is_heard_of(store: Store, other: Store) -> None:
    heard: set[str] = set()
    store.subscribe(heard.update)
    assert (await claim(store, queue="emails")).jobs == ()
    await other.insert([new_job(queue="emails")])
    await wait_until(lambda: "emails" in heard)


async def test_an_earlier_time_in_another_process_is_heard_of(store: Store, other: Store) -> None:
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    await claim(store)
    await other.insert([new_job(delay=1000.0)])
    await wait_until(lambda: heard != [])
    # As a worker does that was woken.
    await claim(store)
    heard.clear()
    await other.insert([new_job(delay=500.0)])
    await wait_until(lambda: heard != [])


async def test_the_end_of_a_pause_in_another_process_is_heard_of(store: Store, other: Store, clock: Clock) -> None:
    heard: set[str] = set()
    store.subscribe(heard.update)
    for queue in ("default", "emails"):
        await claim(store, queue=queue)
    await other.insert([new_job(delay=10.0)])
    await other.pause("default")
    await other.insert([new_job(queue="emails")])
    await wait_until(lambda: "emails" in heard)
    clock.offset += 11
    heard.clear()
    await other.resume("default")
    await wait_until(lambda: "default" in heard)


async def test_what_goes_back_to_its_queue_is_told(store: Store, clock: Clock) -> None:
    heard: list[frozenset[str]] = []
    await store.insert([new_job()])
    job = await claim_one(store)
    store.subscribe(heard.append)
    await settle(store, job, Released())
    assert heard.pop(0) == {"default"}
    await settle(store, await claim_one(store), Retry(10.0, ERROR))
    assert {"default"} in heard
    clock.offset += 11
    await claim_one(store)
    heard.clear()
    clock.offset += LEASE + 1
    await store.rescue(10, MAX_DEATHS)
    assert {"default"} in heard


async def test_who_has_unsubscribed_hears_nothing_more(store: Store) -> None:
    heard: list[frozenset[str]] = []
    unsubscribe = store.subscribe(heard.append)
    unsubscribe()
    unsubscribe()
    await store.insert([new_job()])
    await settle(store, await claim_one(store), Completed())
    assert heard == []


async def test_a_listener_that_fails_harms_nobody(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def broken(queues: frozenset[str]) -> None:
        raise RuntimeError("deaf")

    heard: list[frozenset[str]] = []
    store.subscribe(broken)
    store.subscribe(heard.append)
    await store.insert([new_job()])
    assert {"default"} in heard
    assert "A listener for new jobs failed" in caplog.text
