"""A claim is for a time, and only its holder can make it longer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from goose_queues.clock import Clock
from goose_queues.record import Completed
from goose_queues.store import Store
from store_contract.making import LEASE, MAX_DEATHS, claim, claim_one, new_job, settle


async def extend(store: Store, tokens: Mapping[str, str], blameless: frozenset[str] = frozenset()) -> frozenset[str]:
    """As the heartbeat does it: from a thread of its own."""
    return await asyncio.to_thread(store.extend, tokens, LEASE, blameless=blameless)


async def test_an_extended_lease_holds_on(store: Store, clock: Clock) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    for _ in range(4):
        clock.offset += 20
        assert await extend(store, {job.id: job.token}) == frozenset()
        assert (await store.rescue(10, MAX_DEATHS)).returned == 0
    assert await settle(store, job, Completed()) == frozenset()


async def test_a_wrong_token_extends_nothing(store: Store, clock: Clock) -> None:
    await store.insert([new_job(), new_job()])
    mine, theirs = (await claim(store)).jobs
    clock.offset += 20
    assert await extend(store, {mine.id: mine.token, theirs.id: "wrong"}) == {theirs.id}
    clock.offset += 20
    await store.rescue(10, MAX_DEATHS)
    kept, taken = await store.get(mine.id), await store.get(theirs.id)
    assert kept is not None
    assert taken is not None
    assert (kept.status, taken.status) == ("processing", "pending")


async def test_a_lease_that_was_rescued_is_lost(store: Store, clock: Clock) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    clock.offset += 31
    await store.rescue(10, MAX_DEATHS)
    assert await extend(store, {job.id: job.token}) == {job.id}


async def test_a_settled_job_has_no_lease(store: Store) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    await settle(store, job, Completed())
    assert await extend(store, {job.id: job.token, "unknown": "token"}) == {job.id, "unknown"}


async def test_a_lapsed_lease_under_a_limit_is_lost_as_its_slot_may_be_given_away(store: Store, clock: Clock) -> None:
    await store.insert([new_job() for _ in range(3)])
    lapsed = await claim_one(store)
    clock.offset += LEASE - 1
    alive, plain = (await claim(store, 2)).jobs
    clock.offset += 2
    tokens = {job.id: job.token for job in (lapsed, alive, plain)}
    limited = frozenset({lapsed.id, alive.id})
    assert await asyncio.to_thread(store.extend, tokens, LEASE, limited=limited) == {lapsed.id}


async def test_a_lapsed_lease_that_nobody_rescued_is_still_held(store: Store, clock: Clock) -> None:
    await store.insert([new_job()])
    job = await claim_one(store)
    clock.offset += 100
    assert await extend(store, {job.id: job.token}) == frozenset()
    assert (await store.rescue(10, MAX_DEATHS)).returned == 0


async def test_nothing_to_extend_is_fine(store: Store) -> None:
    assert await extend(store, {}) == frozenset()


async def test_blame_can_be_taken_and_given_back(store: Store, clock: Clock) -> None:
    await store.insert([new_job(), new_job()])
    started, waiting = (await claim(store, slots=1)).jobs
    assert await extend(store, {started.id: started.token, waiting.id: waiting.token}, frozenset()) == frozenset()
    assert await extend(store, {started.id: started.token}, frozenset({started.id})) == frozenset()
    clock.offset += 31
    await store.rescue(10, MAX_DEATHS)
    excused, blamed = await store.get(started.id), await store.get(waiting.id)
    assert excused is not None
    assert blamed is not None
    assert (excused.deaths, blamed.deaths) == (0, 1)
