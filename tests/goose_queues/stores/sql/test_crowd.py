"""Among thousands of jobs that it has nothing to do with, an operation takes as many steps of SQLite's machine as alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Connection

from benchmarks.crowd_rows import crowd
from goose_queues.clock import Clock
from goose_queues.ids import new_id
from goose_queues.record import Claim, Completed, JobFilter, Retry, Settlement
from goose_queues.stores.sql import backlog, counts, pause, read, steer
from goose_queues.stores.sql.claim import claim_on_sqlite
from goose_queues.stores.sql.insert import insert
from goose_queues.stores.sql.lease import extend, rescue
from goose_queues.stores.sql.listing import page
from goose_queues.stores.sql.prune import find_old, prune_batches
from goose_queues.stores.sql.settle import settle
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from store_contract.making import ERROR, new_batch, new_chain, new_job

from .conftest import Hand

Steps: TypeAlias = dict[str, int]
CROWD = 3_000
FEW = 250
"""Steps that a crowd may add: a row more in the counts, a queue more to ask; a walk would add thousands."""


async def steps_among(file: Path, **of_crowd: int) -> Steps:
    """How many steps each operation takes on a file with such a crowd."""
    store = SqlStore(Database(f"sqlite:///{file}"), Clock(), owns_database=True, auto_migrate=True)
    await store.open()
    crowd(file, "Work", **of_crowd)
    try:
        return await store._database.write(lambda connection: _count_steps(connection, store._layout, store._now()))
    finally:
        await store.close()


def _count_steps(connection: Connection, layout: Layout, now: int) -> Steps:
    steps: Steps = {}

    def counted(name: str, operation: Callable[[], Any]) -> Any:
        taken = 0

        def step() -> None:
            nonlocal taken
            taken += 1

        raw: Any = connection.connection.driver_connection
        raw.set_progress_handler(step, 1)
        try:
            return operation()
        finally:
            raw.set_progress_handler(None, 0)
            steps[name] = taken

    members, batch = new_batch(20, "then")
    chain = new_chain(3, priority=9)
    jobs = [new_job(priority=9) for _ in range(20)]
    counted("insert", lambda: insert(connection, layout, now, [*jobs, *chain, *members], [batch]))
    taking = Claim("default", frozenset({"Work"}), 10, 30.0, "w", fleet_limit=50)
    claimed = counted("claim", lambda: claim_on_sqlite(connection, layout, now + 1, taking)).jobs
    settlements = [Settlement(job, Completed()) for job in claimed[:7]]
    settlements.append(Settlement(claimed[7], Retry(60.0, ERROR)))
    counted("settle", lambda: settle(connection, layout, now, settlements))
    counted("extend", lambda: extend(connection, layout, now, {claimed[8].id: claimed[8].token}, 30.0))
    counted("rescue", lambda: rescue(connection, layout, now, 10, 3))
    counted("cancel", lambda: steer.cancel(connection, layout, now, claimed[9].id, "why"))
    counted("cancel requests", lambda: steer.cancel_requests(connection, layout))
    counted("pause", lambda: pause.pause(connection, layout, now, "emails"))
    counted("get", lambda: read.get(connection, layout, jobs[0].id))
    counted("get unknown", lambda: read.get(connection, layout, new_id()))
    counted("batch", lambda: read.batch(connection, layout, batch.id))
    counted("stats", lambda: read.stats(connection, layout, now))
    counted("soonest", lambda: read.soonest(connection, layout))
    counted("ready queues", lambda: read.ready_queues(connection, layout))
    for name, wanted in (
        ("page", JobFilter()),
        ("page of completed", JobFilter(status="completed")),
        ("page of a chain", JobFilter(chain_id=chain[0].chain_id)),
    ):
        first = counted(f"first {name}", lambda wanted=wanted: page(connection, layout, wanted, 2, None))
        counted(f"next {name}", lambda wanted=wanted, at=first.cursor: page(connection, layout, wanted, 2, at))
    counted("find old", lambda: find_old(connection, layout, now, 86_400.0, 500, None))
    counted("prune batches", lambda: prune_batches(connection, layout, now, 86_400.0, 500))
    return steps


@pytest.mark.parametrize("of_crowd", [{"finished": CROWD, "future": CROWD}, {"ready": CROWD}], ids=["at rest", "ready"])
async def test_a_crowd_adds_no_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_crowd: dict[str, int]) -> None:
    monkeypatch.setattr(backlog, "WALKED", 10)
    alone = await steps_among(tmp_path / "alone.db", ready=10 if "ready" in of_crowd else 0)
    among = await steps_among(tmp_path / "crowd.db", **of_crowd)
    assert alone.keys() == among.keys()
    assert {name: (steps, among[name]) for name, steps in alone.items() if among[name] > steps + FEW} == {}


async def test_steps_of_a_walk_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measure finds the one operation that does walk, where it is told to."""
    monkeypatch.setattr(backlog, "WALKED", 2 * CROWD)
    assert (await steps_among(tmp_path / "crowd.db", ready=CROWD))["stats"] > CROWD


async def test_the_crowd_is_counted_as_the_store_would_have(store: SqlStore, file: Path, hand: Hand) -> None:
    crowd(file, "Work", finished=100, future=50, ready=20)
    await store._database.read(lambda connection: _assert_no_drift(connection, store._layout))
    assert hand("select state, count(*) from goose_jobs group by state order by state") == [
        ("completed", 90),
        ("failed", 10),
        ("ready", 20),
        ("scheduled", 50),
    ]


def _assert_no_drift(connection: Connection, layout: Layout) -> None:
    assert counts.drift(connection, layout) == {}
