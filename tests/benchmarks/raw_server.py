"""A server's own limit: SQLAlchemy Core on this project's own tables and driver, with no queue around it."""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, CursorResult, Executable, Table, bindparam, func, insert, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from goose_queues.ids import new_id
from goose_queues.stores.sql.tables import COMPLETED, PROCESSING, READY, queue_tables, word

from .contest import BenchmarkError, Figures, Trial
from .measure import drained, percentiles, rate
from .ours import store_one, stored
from .place import MARIADB, Store

HUNDRED = 100
THOUSAND = 1000
LEASE = 30_000_000
"""In the microseconds of the store."""

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Statements:
    """Core's, of the tables as they are on a server."""

    jobs: Table
    claim: Executable
    """On MariaDB it only locks the rows: ``take`` updates them."""
    take: Executable
    complete: Executable

    @classmethod
    def on(cls, store: Store) -> Statements:
        """Those that suit its dialect."""
        jobs = queue_tables(dialect=store).jobs
        line = (jobs.c.line_rank, jobs.c.line_at) if store == MARIADB else (jobs.c.priority.desc(), jobs.c.due_at)
        first = (
            select(jobs.c.id)
            .where(jobs.c.state == word(READY), jobs.c.queue == bindparam("of"))
            .order_by(*line, jobs.c.id)
            .limit(bindparam("count"))
            .with_for_update(skip_locked=True)
        )
        leased = {
            "state": PROCESSING,
            "attempts": jobs.c.attempts + 1,
            "token": bindparam("lease"),
            "lease_until": bindparam("until"),
            "started_at": bindparam("now"),
        }
        named = jobs.c.id.in_(bindparam("ids", expanding=True))
        picked = first.cte("picked")
        at_once = update(jobs).where(jobs.c.id == picked.c.id).values(leased).returning(jobs.c.id, jobs.c.payload)
        return cls(
            jobs,
            first.add_columns(jobs.c.payload) if store == MARIADB else at_once,
            update(jobs).where(named).values(leased),
            update(jobs)
            .where(named, jobs.c.token == bindparam("lease"))
            .values(state=COMPLETED, token=None, lease_until=None, finished_at=bindparam("now")),
        )


def drain(trial: Trial) -> Figures:
    """Claim a hundred in one transaction, complete them in another, until none is left."""

    async def measure() -> Figures:
        await stored(trial, trial.size)
        ran: set[str] = set()
        core = Statements.on(trial.store)
        async with _connected(trial) as connection:
            await _analyze(trial, connection, core.jobs.name)
            gc.collect()
            started, used = time.perf_counter(), time.process_time()
            while ids := await _claim(trial, connection, core, HUNDRED, token := str(uuid.uuid4())):
                ran.update(ids)
                await _complete(connection, core, ids, token)
            seconds, used = time.perf_counter() - started, time.process_time() - used
        if len(ran) != trial.size:
            raise BenchmarkError(f"{len(ran):,} of {trial.size:,} jobs were claimed")
        return drained(trial.size, seconds, used)

    return asyncio.run(measure())


def dispatch_alone(trial: Trial) -> Figures:
    """One insert, one commit, in a loop."""
    return dispatch_together(trial, callers=1)


def dispatch_together(trial: Trial, callers: int) -> Figures:
    """So many inserts in each commit."""

    async def by_so_many(connection: AsyncConnection, core: Statements, rows: Sequence[Row]) -> None:
        for first in range(0, len(rows), callers):
            await _insert(connection, core, rows[first : first + callers])

    return _inserting(trial, by_so_many)


def dispatch_many(trial: Trial) -> Figures:
    """A thousand inserts in each commit."""
    return dispatch_together(trial, callers=THOUSAND)


def latency(trial: Trial, pause: float) -> Figures:
    """What the server alone asks for: an insert and its commit, a claim and its commit."""
    seconds = []

    async def one_by_one(connection: AsyncConnection, core: Statements, rows: Sequence[Row]) -> None:
        for row in rows:
            await asyncio.sleep(pause)
            called = time.perf_counter()
            await _insert(connection, core, (row,))
            await _claim(trial, connection, core, 1, "token")
            seconds.append(time.perf_counter() - called)

    _inserting(trial, one_by_one)
    return percentiles(seconds)


def _inserting(trial: Trial, act: Callable[[AsyncConnection, Statements, Sequence[Row]], Awaitable[None]]) -> Figures:
    """Give copies of what a dispatch has left behind, each with an id of its own."""

    async def measure() -> Figures:
        await store_one(trial)
        jobs = (core := Statements.on(trial.store)).jobs
        written = [column for column in jobs.c if column.computed is None]
        async with _connected(trial) as connection:
            row = dict((await connection.execute(select(*written))).mappings().one())
            await connection.commit()
            rows = [{**row, "id": new_id()} for _ in range(trial.size)]
            gc.collect()
            started = time.perf_counter()
            await act(connection, core, rows)
            seconds = time.perf_counter() - started
            found = await connection.scalar(select(func.count()).select_from(jobs))
        if found != trial.size + 1:
            raise BenchmarkError(f"{found:,} jobs are stored, not {trial.size + 1:,}")
        return rate(trial.size, seconds)

    return asyncio.run(measure())


async def _insert(connection: AsyncConnection, core: Statements, rows: Sequence[Row]) -> None:
    await connection.execute(insert(core.jobs), list(rows))
    await connection.commit()


async def _claim(trial: Trial, connection: AsyncConnection, core: Statements, count: int, token: str) -> list[str]:
    now = time.time_ns() // 1000
    head: Row = {"of": "default", "count": count}
    lease: Row = {"now": now, "lease": token, "until": now + LEASE}

    def claim(sync: Connection) -> list[str]:
        if trial.store == MARIADB:
            ids = [str(row.id) for row in sync.execute(core.claim, head)]
            if ids:
                sync.execute(core.take, {**lease, "ids": sorted(ids)})
            return ids
        return [str(row.id) for row in sync.execute(core.claim, {**head, **lease})]

    ids = await connection.run_sync(claim)
    await connection.commit()
    return ids


async def _complete(connection: AsyncConnection, core: Statements, ids: Sequence[str], token: str) -> None:
    parameters: Row = {"ids": sorted(ids), "lease": token, "now": time.time_ns() // 1000}
    result: CursorResult[Any] = await connection.execute(core.complete, parameters)
    if result.rowcount != len(ids):
        raise BenchmarkError(f"{result.rowcount} of {len(ids)} claimed jobs were completed")
    await connection.commit()


async def _analyze(trial: Trial, connection: AsyncConnection, table: str) -> None:
    """Tell the planner what is there: a limit that sorts the backlog for each claim would be none."""
    await connection.execute(text(f"analyze {'table ' if trial.store == MARIADB else ''}{table}"))
    await connection.commit()


@asynccontextmanager
async def _connected(trial: Trial) -> AsyncIterator[AsyncConnection]:
    """One connection, by the driver that this project chooses."""
    driver = "mariadb+asyncmy" if trial.store == MARIADB else "postgresql+psycopg"
    url = make_url(trial.url).set(drivername=driver)
    engine: AsyncEngine = create_async_engine(url, isolation_level="READ COMMITTED")
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()
