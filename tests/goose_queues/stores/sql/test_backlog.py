"""However the ready jobs are counted, it is the same number."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crowd_rows import crowd
from goose_queues.record import Completed, Failed, Settlement
from goose_queues.stores.sql import backlog
from goose_queues.stores.sql.store import SqlStore
from store_contract.making import ERROR, claim, new_chain, new_job

from .conftest import Hand

READY = {"default": 12, "emails": 9, "few": 2}


async def fill(store: SqlStore, hand: Hand) -> None:
    """Jobs in every state; of those that are ready, the numbers of ``READY``."""
    await store.insert([new_job() for _ in range(7)])
    claimed = (await claim(store, 7)).jobs
    await store.settle([Settlement(claimed[0], Completed()), Settlement(claimed[1], Failed(ERROR))])
    await store.insert([new_job(delay=3600.0) for _ in range(4)])
    for queue, count in READY.items():
        await store.insert([new_job(queue=queue, priority=number % 3) for number in range(count - 1)])
        await store.insert(new_chain(3, queue=queue))
    states = {state for (state,) in hand("select distinct state from goose_jobs")}
    assert states == {"ready", "scheduled", "waiting", "processing", "completed", "failed"}


@pytest.mark.parametrize("walked", [0, 1, 2, 3, 8, 9, 12, 13, 1000])
async def test_walked_or_told_from_the_rest(
    store: SqlStore, hand: Hand, monkeypatch: pytest.MonkeyPatch, walked: int
) -> None:
    monkeypatch.setattr(backlog, "SHARE", 1_000)
    monkeypatch.setattr(backlog, "WALKED", walked)
    await fill(store, hand)
    assert {queue: stats.pending for queue, stats in (await store.stats()).items()} == READY


async def test_late_jobs_are_pending_beside_them(
    store: SqlStore, file: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "WALKED", 5)
    crowd(file, "Work", finished=20, future=10, ready=100)
    hand(
        "update goose_jobs set due_at = 1 where rowid in (select rowid from goose_jobs where state = 'scheduled' limit 3)"
    )
    stats = (await store.stats())["default"]
    assert (stats.pending, stats.scheduled, stats.completed, stats.failed) == (103, 7, 18, 2)


async def test_counts_that_a_hand_has_spoilt_never_hide_what_was_seen(
    store: SqlStore, file: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "WALKED", 5)
    crowd(file, "Work", finished=100, ready=40)
    hand("delete from goose_jobs where state = 'completed'")
    assert (await store.stats())["default"].pending == 5 + 100 // backlog.SHARE
    await store.prune(3600.0, 10)
    assert (await store.stats())["default"].pending == 40
