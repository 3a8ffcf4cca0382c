"""Counts kept beside the jobs stay right, and a hand's edit is put right."""

from __future__ import annotations

import pytest

from goose_queues.clock import Clock
from goose_queues.record import Cancelled, Completed, Failed, Released, Retry, Settlement, Snoozed
from goose_queues.stores.sql.store import SqlStore
from store_contract.making import ERROR, LEASE, MAX_DEATHS, claim, new_job

from .conftest import Hand

TRUTH = """
select queue, state, count(*) from goose_jobs
where state in ('scheduled', 'waiting', 'completed', 'failed', 'cancelled') group by queue, state order by 1, 2
"""
COUNTS = "select queue, state, jobs from goose_counts where jobs <> 0 order by 1, 2"


async def test_counts_follow_every_move(store: SqlStore, hand: Hand, clock: Clock) -> None:
    outcomes = (Completed(), Failed(ERROR), Cancelled("why"), Retry(5.0, ERROR), Snoozed(delay=50.0), Released())
    for round_ in range(6):
        await store.insert([new_job(queue=queue) for queue in ("default", "emails") for _ in range(8)])
        await store.insert([new_job(delay=float(number)) for number in range(8)])
        for queue in ("default", "emails"):
            jobs = (await claim(store, 9, queue=queue)).jobs
            await store.settle([Settlement(job, outcome) for job, outcome in zip(jobs, outcomes, strict=False)])
        clock.offset += LEASE + 1
        await store.rescue(4, MAX_DEATHS)
        await store.prune(60.0, 2)
        assert hand(COUNTS) == hand(TRUTH), round_
    assert hand(COUNTS) != []


async def test_a_pruning_puts_right_what_a_hand_has_left_wrong(
    store: SqlStore, hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    await store.insert([new_job(delay=60.0) for _ in range(3)])
    await store.insert([new_job() for _ in range(4)])
    await store.settle([Settlement(job, Completed()) for job in (await claim(store)).jobs])
    hand("delete from goose_jobs where state = 'completed' and rowid % 2")
    hand("update goose_jobs set queue = 'emails' where state = 'scheduled'")
    assert (await store.stats())["default"].completed == 4
    await store.prune(3600.0, 10)
    stats = await store.stats()
    assert (stats["default"].completed, stats["default"].scheduled, stats["emails"].scheduled) == (2, 0, 3)
    assert [record.message for record in caplog.records] == [
        "The jobs table was changed from outside: counts corrected"
    ]
    await store.prune(3600.0, 10)
    assert len(caplog.records) == 1
