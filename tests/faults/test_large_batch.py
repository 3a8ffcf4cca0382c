"""A large batch whose members all end at about the same time in several processes: one callback, and no complaint."""

from __future__ import annotations

import goose
from checker import Dispatched, check
from faults.application import Step, application
from fleet import Fleet
from goose_queues import Client
from havoc import Havoc
from soak import size
from waiting import wait_until

MEMBERS = size(2000, 20_000)
PROCESSES, SLOTS = 4, 8


async def test_one_callback(fleet: Fleet) -> None:
    """Then and finally are called once each when the last member has ended on one of 32 slots, catch never."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        pending = kernel.get(Client).batch(Step(seconds=0) for _ in range(MEMBERS))
        batch = await pending.then(Step()).catch(Step()).finally_(Step()).dispatch()
    havoc = Havoc(fleet, PROCESSES, slots=SLOTS)
    await wait_until(fleet.is_over, deadline=300)
    assert await havoc.dismiss() == [0] * PROCESSES
    assert fleet.log.read_text() == "", "something was complained of"
    called = fleet.callbacks(batch.id, batch.ids, "then", "catch", "finally")
    assert check(fleet.history(dict.fromkeys(batch.ids, Dispatched()), batches=[called])) == []
    assert {role: len(jobs) for role, jobs in called.callbacks.items()} == {"then": 1, "catch": 0, "finally": 1}
    shares = [
        sum(entries[0].pid == worker.pid for entries in fleet.ledger.by_job("end").values()) for worker in havoc.workers
    ]
    print(f"{MEMBERS} members, by process {shares}")
    assert all(shares)
