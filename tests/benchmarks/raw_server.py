"""A server's own limit: SQLAlchemy Core on this project's own tables and driver, with no queue around it."""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from goose_queues.stores.sql.raw_server import Statements, claim, complete, count, store
from goose_queues.stores.sql.tables import queue_tables

from .contest import BenchmarkError, Figures, Trial
from .measure import drained, percentiles, rate
from .ours import stored
from .place import MARIADB
from .raw import payload

HUNDRED = 100
THOUSAND = 1000


def drain(trial: Trial) -> Figures:
    """Claim a hundred in one transaction, complete them in another, until none is left."""

    async def measure() -> Figures:
        await stored(trial, trial.size)
        ran: set[str] = set()
        core = _statements(trial)
        async with _connected(trial) as connection:
            await _analyze(trial, connection, core.jobs.name)
            gc.collect()
            started, used = time.perf_counter(), time.process_time()
            while ids := await _claim(connection, core, HUNDRED, token := str(uuid.uuid4())):
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

    async def by_so_many(connection: AsyncConnection, core: Statements, payloads: Sequence[str]) -> None:
        for first in range(0, len(payloads), callers):
            await _insert(connection, core, payloads[first : first + callers])

    return _inserting(trial, by_so_many)


def dispatch_many(trial: Trial) -> Figures:
    """A thousand inserts in each commit."""
    return dispatch_together(trial, callers=THOUSAND)


def latency(trial: Trial, pause: float) -> Figures:
    """What the server alone asks for: an insert and its commit, a claim and its commit."""
    seconds = []

    async def one_by_one(connection: AsyncConnection, core: Statements, payloads: Sequence[str]) -> None:
        for one in payloads:
            await asyncio.sleep(pause)
            called = time.perf_counter()
            await _insert(connection, core, (one,))
            await _claim(connection, core, 1, "token")
            seconds.append(time.perf_counter() - called)

    _inserting(trial, one_by_one)
    return percentiles(seconds)


def _inserting(trial: Trial, act: Callable[[AsyncConnection, Statements, Sequence[str]], Awaitable[None]]) -> Figures:
    """Into the tables that this project's first boot has made."""

    async def measure() -> Figures:
        await stored(trial, 0)
        core = _statements(trial)
        payloads = [payload(number) for number in range(trial.size)]
        async with _connected(trial) as connection:
            gc.collect()
            started = time.perf_counter()
            await act(connection, core, payloads)
            seconds = time.perf_counter() - started
            found = await connection.run_sync(count, core)
        if found != trial.size:
            raise BenchmarkError(f"{found:,} jobs are stored, not {trial.size:,}")
        return rate(trial.size, seconds)

    return asyncio.run(measure())


def _statements(trial: Trial) -> Statements:
    return Statements.on(queue_tables(dialect=trial.store))


async def _insert(connection: AsyncConnection, core: Statements, payloads: Sequence[str]) -> None:
    await connection.run_sync(store, core, payloads)
    await connection.commit()


async def _claim(connection: AsyncConnection, core: Statements, limit: int, token: str) -> list[str]:
    ids = await connection.run_sync(partial(claim, core=core, count=limit, token=token))
    await connection.commit()
    return ids


async def _complete(connection: AsyncConnection, core: Statements, ids: Sequence[str], token: str) -> None:
    completed = await connection.run_sync(complete, core, ids, token)
    if completed != len(ids):
        raise BenchmarkError(f"{completed} of {len(ids)} claimed jobs were completed")
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
