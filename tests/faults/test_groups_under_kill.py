"""Chains and batches whose workers are killed all the time: order is kept, callbacks are called once, nothing is lost."""

from __future__ import annotations

from random import Random

import goose
from checker import Batch, attempts_in_flight, check
from faults.application import Step, application
from fleet import Fleet
from goose_queues import BatchHandle, ChainHandle, Client
from havoc import Havoc
from soak import size
from waiting import wait_until

CHAINS, LINKS = size(22, 300), 5
BATCHES, MEMBERS = size(8, 100), size(25, 50)
SLOTS = size(4, 16)
EVERY = size(0.4, 1.0)
"""Seconds from kill to kill."""
KILLS = size(3, 10)
"""At least so many."""


async def test_chains_and_batches(fleet: Fleet) -> None:
    """Every tenth chain has a link that fails for good, every tenth batch such a member."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        queue = kernel.get(Client)
        chains = [await chain(queue, number) for number in range(CHAINS)]
        batches = [await batch(queue, number) for number in range(BATCHES)]
    havoc = Havoc(fleet, 3, slots=SLOTS)
    await havoc.ready()
    async with havoc.kills(EVERY):
        await wait_until(fleet.is_over, deadline=300)
    assert await havoc.dismiss() == [0, 0, 0], fleet.log.read_text()

    of_batches = [fleet.callbacks(each.id, each.ids, "then", "catch", "finally") for each in batches]
    history = fleet.history(chains=[each.ids for each in chains], batches=of_batches)
    assert check(history) == []
    hits = attempts_in_flight(history)
    print(f"{len(hits)} kills, in flight at each {hits}; {_called(of_batches)}")
    assert len(hits) >= KILLS
    assert sum(hits) > 0, "the kills hit nothing"
    statuses = {job: ending.status for job, ending in history.endings.items()}
    assert {statuses[link] for each in chains[1::10] for link in each.ids[3:]} == {"cancelled"}


async def chain(queue: Client, number: int) -> ChainHandle:
    links = [step(number * LINKS + link) for link in range(LINKS)]
    if number % 10 == 1:
        links[2] = Step(failing=tuple(range(1, 20)))
    return await queue.chain(*links).retries(1).dispatch()


async def batch(queue: Client, number: int) -> BatchHandle:
    members = [step(number + member) for member in range(MEMBERS)]
    if number % 10 == 1:
        members[7] = Step(failing=tuple(range(1, 20)))
    pending = queue.batch(members).retries(1)
    return await pending.then(Step()).catch(Step()).finally_(Step()).dispatch()


def step(seed: int) -> Step:
    return Step(seconds=Random(seed).uniform(0.02, 0.15))


def _called(batches: list[Batch]) -> dict[str, int]:
    return {role: sum(len(each.callbacks[role]) for each in batches) for role in ("then", "catch", "finally")}
