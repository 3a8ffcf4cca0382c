"""Rows that a hand has edited harm no worker and no other job."""

from __future__ import annotations

import random
from typing import Any

import pytest

from goose_queues.clock import Clock
from goose_queues.record import Completed, ErrorRecord, Failed, Settlement
from goose_queues.stores.sql.store import SqlStore
from store_contract.making import LEASE, MAX_DEATHS, claim, claim_one, ids, new_job, settle

from .conftest import Hand


async def test_a_row_in_an_unknown_state_is_shown_as_failed_and_never_claimed(store: SqlStore, hand: Hand) -> None:
    bad, good = new_job(), new_job()
    await store.insert([bad, good])
    hand("update goose_jobs set state = 'zombie' where id = ?", bad.id)
    record = await store.get(bad.id)
    assert record is not None
    assert (record.status, record.error) == (
        "failed",
        ErrorRecord("CorruptRow", "corrupt row: state is 'zombie'", ""),
    )
    assert ids(await claim(store)) == [good.id]


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("timeout", "soon", "timeout is 'soon'"),
        ("max_retries", "many", "max_retries is 'many'"),
        ("attempts", 1.5, "attempts is 2.5"),
        ("priority", "high", "priority is 'high'"),
        ("due_at", "now", "due_at is 'now'"),
        ("created_at", b"\x00", "created_at is b'\\x00'"),
        ("payload", b"\xff", "payload is b'\\xff'"),
    ],
)
async def test_a_claimed_row_that_makes_no_sense_can_only_fail(
    store: SqlStore, hand: Hand, column: str, value: Any, fault: str
) -> None:
    bad, good = new_job(), new_job()
    await store.insert([bad, good])
    hand(f"update goose_jobs set {column} = ? where id = ?", value, bad.id)
    claimed = {job.id: job for job in (await claim(store)).jobs}
    assert claimed[good.id].failed_with is None
    error = claimed[bad.id].failed_with
    assert error == ErrorRecord("CorruptRow", f"corrupt row: {fault}", "")
    lost = await store.settle([Settlement(claimed[good.id], Completed()), Settlement(claimed[bad.id], Failed(error))])
    assert lost == frozenset()
    record = await store.get(bad.id)
    assert record is not None
    assert (record.status, record.error) == ("failed", error)


async def test_a_lease_without_an_end_is_rescued(store: SqlStore, hand: Hand) -> None:
    job = new_job()
    await store.insert([job])
    await claim_one(store)
    hand("update goose_jobs set lease_until = null, token = null")
    assert (await store.rescue(10, MAX_DEATHS)).returned == 1
    assert (await claim_one(store)).id == job.id


async def test_a_stored_error_that_is_no_json_becomes_the_message(store: SqlStore, hand: Hand) -> None:
    job = new_job()
    await store.insert([job])
    hand("update goose_jobs set error = ?, doomed = 1", "[" * 100)
    claimed = await claim_one(store)
    assert claimed.failed_with is not None
    assert claimed.failed_with.message.startswith("corrupt row: error is '[[[")
    await settle(store, claimed, Failed(claimed.failed_with))


async def test_any_edit_at_all_leaves_the_store_working(store: SqlStore, hand: Hand, clock: Clock) -> None:
    """Random values in random columns: every operation still answers, and a sound job still runs."""
    dice = random.Random(20)
    columns = [name for _, name, *_ in hand("pragma table_info(goose_jobs)") if name != "id"]
    values = [0, -1, 2**63 - 1, -(2**63), 1.5, 1e300, "", "x", "ready", "processing", "\x00", b"\xff\x00", "9" * 400]
    jobs = [new_job(queue=dice.choice(["default", "emails"]), delay=dice.choice([None, 5.0])) for _ in range(60)]
    await store.insert(jobs)
    for _ in range(300):
        column, value, victim = dice.choice(columns), dice.choice(values), dice.choice(jobs)
        hand(f"update goose_jobs set {column} = ? where id = ?", value, victim.id)
        claimed = (await claim(store, dice.randrange(4))).jobs
        await store.settle([Settlement(job, Completed()) for job in claimed[:1]])
        clock.offset += LEASE
        await store.rescue(10, MAX_DEATHS)
        await store.stats()
        assert await store.get(victim.id) is not None
    await store.prune(0, 100)
    sound = new_job(queue="sound")
    await store.insert([sound])
    assert ids(await claim(store, queue="sound")) == [sound.id]
