"""On MariaDB and MySQL no operation walks or sorts a backlog: each reads about as many rows as it has to do with.

Counted by the server itself among a million jobs, with statistics of the tables and straight after they were filled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import pytest
from sqlalchemy import Connection

from goose_queues.clock import Clock
from goose_queues.ids import new_id
from goose_queues.record import Completed, Failed, JobFilter, NewBatch, Settlement, Status
from goose_queues.stores.sql.statement import Statement
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.shared import room
from store_contract.making import ERROR, claim, new_job

MANY: Final = 1_000_000
LEAST: Final = 100
"""Rows that any statement may read, whatever it is for; a few queues, the places of counts."""
PENDING: Final = {"ready": 250_000, "scheduled": 150_000, "waiting": 50_000}
DAY: Final = 86_400_000_000
FILL: Final = """
INSERT INTO goose_jobs (id, queue, state, priority, due_at, name, max_retries, created_at, finished_at, chain_id, position,
    batch_id, batch_role, payload)
SELECT CONCAT('{letter}', LPAD(seq, 35, '0')), IF(seq % 10, 'default', 'emails'), '{state}', seq % 3, {due}, 'Work', 3, {now},
    {finished}, {chain}, {batch}, '{{}}'
FROM seq_1_to_{rows}
"""


@dataclass
class Reads:
    """What each statement has read and sorted."""

    statements: list[tuple[str, int, int]] = field(default_factory=list)

    @contextmanager
    def at_most(self, rows: int) -> Iterator[None]:
        """Let no statement within read or sort more than so many rows."""
        self.statements.clear()
        yield
        assert self.statements
        assert [it for it in self.statements if it[1] > rows or it[2] > rows] == []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    seen = Reads()
    cursor = Statement._cursor

    def counted(statement: Statement, connection: Connection, parameters: Any) -> object:
        before = _status(connection)
        found = cursor(statement, connection, parameters)
        after = _status(connection)
        seen.statements.append((statement.text, after[0] - before[0], after[1] - before[1]))
        return found

    monkeypatch.setattr(Statement, "_cursor", counted)
    return seen


def _status(connection: Connection) -> tuple[int, int]:
    """Rows that this connection has read from tables and indexes so far, and rows that it has sorted."""
    rows = connection.exec_driver_sql(
        "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_prev', 'Handler_read_rnd',"
        " 'Handler_read_rnd_next', 'Handler_read_first', 'Handler_read_key', 'Sort_rows')"
    )
    found = {name: int(value) for name, value in rows}
    sorted_rows = found.pop("Sort_rows")
    return sum(found.values()), sorted_rows


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    there = room("mysql")
    there.clear()
    store = SqlStore(Database(there.url), Clock(), owns_database=True, auto_migrate=True)
    await store.open()
    yield store
    await store.close()
    there.clear()


async def _fill(store: SqlStore) -> None:
    """Nine queues in ten are finished or wait; nothing that a job of the tests has to do with."""
    now = int(time.time() * 1_000_000)
    states = {**PENDING, "completed": MANY - sum(PENDING.values()) - 10_000, "failed": 10_000}

    def fill(connection: Connection) -> None:
        for letter, (state, rows) in zip("abcde", states.items(), strict=True):
            is_over = state in {"completed", "failed"}
            statement = FILL.format(
                letter=letter,
                state=state,
                now=now - DAY,
                due=now + DAY + 1 if state == "scheduled" else now - DAY,
                finished=f"{now - DAY} + seq" if is_over else "NULL",
                # Chains of fifty thousand links, batches of a hundred thousand members.
                chain="CONCAT('chain-', seq DIV 50000), seq" if state == "waiting" else "NULL, NULL",
                batch="CONCAT('batch-', seq DIV 100000), 'member'" if state == "ready" else "NULL, NULL",
                rows=rows,
            )
            connection.exec_driver_sql(statement.replace("%", "%%"))
            for queue, share in (("default", 9), ("emails", 1)):
                if state != "ready":
                    connection.exec_driver_sql(
                        f"INSERT INTO goose_counts (queue, state, jobs) VALUES ('{queue}', '{state}', {rows * share // 10})"
                    )

    await store._database.write(fill)


async def _analyze(store: SqlStore) -> None:
    await store._database.write(lambda it: it.exec_driver_sql("ANALYZE TABLE goose_jobs, goose_counts").fetchall())


async def test_no_operation_walks_a_million_jobs(store: SqlStore, reads: Reads) -> None:
    """With statistics and without."""
    await _fill(store)
    await _operate(store, reads, "first")
    await _analyze(store)
    await _operate(store, reads, "second")


async def test_a_claim_straight_after_a_bulk_insert_walks_no_backlog(store: SqlStore, reads: Reads) -> None:
    """The planner knows of an empty table."""
    await _analyze(store)
    await store.insert([new_job(priority=number % 5) for number in range(50_000)])
    with reads.at_most(3 * 50 + LEAST):
        claimed = await claim(store, 50)
        await store.settle([Settlement(job, Completed()) for job in claimed.jobs])


async def _operate(store: SqlStore, reads: Reads, queue: str) -> None:
    ours: dict[str, Any] = {"queue": queue}
    chain, batch = new_id(), new_id()
    links = [new_job(chain_id=chain, position=place, **ours) for place in range(5)]
    members = [new_job(batch_id=batch, batch_role="member", **ours) for _ in range(20)]
    then = new_job(batch_id=batch, batch_role="then", **ours)
    later = [new_job(delay=60.0, queue="spare") for _ in range(50)]
    with reads.at_most(LEAST):
        await store.insert([*links, *members, *later], batches=[NewBatch(batch, 20, (then,))])
        claimed = await claim(store, 50, queue=queue)
    by_id = {job.id: job for job in claimed.jobs}
    assert len(by_id) == 21
    with reads.at_most(3 * 50 + LEAST):
        await claim(store, 50, queue="default")
        tokens = {job.id: job.token for job in claimed.jobs}
        assert await asyncio.to_thread(store.extend, tokens, 30.0) == frozenset()
        await store.settle([Settlement(by_id[links[0].id], Completed())])
        await store.settle([Settlement(by_id[job.id], Completed()) for job in members[1:]])
        await store.settle([Settlement(by_id[members[0].id], Failed(ERROR))])
        await store.rescue(10, 3)
        await store.cancel(links[1].id, "why")
        await store.retry(links[1].id)
        await store.retry(members[0].id)
        await store.cancel(later[0].id, "why")
        await store.get(later[1].id)
        await store.batch(batch)
        await store.cancel_requests()
        await store.purge("spare", 30)
        await store.pause(queue)
        await store.resume(queue)
    # What is ready is counted one by one.
    with reads.at_most(PENDING["ready"] + LEAST):
        await store.stats()
    await _list(store, reads, chain, batch)
    await _prune(store, reads)


async def _list(store: SqlStore, reads: Reads, chain: str, batch: str) -> None:
    for wanted in (
        JobFilter(),
        *(JobFilter(queue="default", status=status) for status in get_args(Status)),
        *(JobFilter(status=status) for status in get_args(Status)),
        JobFilter(chain_id=chain),
        JobFilter(batch_id=batch),
    ):
        with reads.at_most(3 * 20 + LEAST + 200):
            first = await store.jobs(wanted, 20)
            if first.cursor is not None:
                await store.jobs(wanted, 20, first.cursor)
        assert first.records or wanted.status == "cancelled"


async def _prune(store: SqlStore, reads: Reads) -> None:
    with reads.at_most(8 * 100 + LEAST):
        pruned = await store.prune(3600.0, 100)
    assert (pruned.deleted, pruned.cursor is not None) == (100, True)
    with reads.at_most(8 * 100 + LEAST):
        pruned = await store.prune(3600.0, 100, pruned.cursor)
    assert pruned.deleted == 100
