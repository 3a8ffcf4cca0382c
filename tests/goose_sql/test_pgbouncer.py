"""Tests of Database through a pgbouncer in transaction mode: nothing relies on having a server connection to oneself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, text
from sqlalchemy.engine import Connection

from goose_sql import Database, DatabaseUnavailable, Tables, open_units, unit_of
from goose_sql.migrations import check, migrate, revise
from servers.drivers import by
from servers.private import Pgbouncer
from servers.shared import Room, room
from waiting import wait_until

SERVER_CONNECTIONS = 2


@pytest.fixture(scope="module")
def ours() -> Room:
    return room("postgres")


@pytest.fixture(scope="module")
def bouncer(ours: Room) -> Iterator[Pgbouncer]:
    # Each client meets both server connections in turn, as any state left on one of them would show.
    with Pgbouncer(ours.url, default_pool_size=SERVER_CONNECTIONS, server_round_robin=1) as bouncer:
        yield bouncer


@pytest.fixture(params=["postgresql+psycopg", "postgresql+asyncpg"])
async def database(
    request: pytest.FixtureRequest, ours: Room, bouncer: Pgbouncer, eggs: Any
) -> AsyncIterator[Database]:
    ours.clear()
    async with Database(by(request.param, bouncer.url), pool_size=4) as database:
        await database.write(eggs.metadata.create_all)
        yield database


async def test_transactions(database: Database, eggs: Any) -> None:
    """Many transactions, more than the server has connections, each see all of their own and nothing of others."""

    def operation(number: int) -> Any:
        def run(connection: Connection) -> int:
            before = connection.scalar(text("SELECT pg_backend_pid()"))
            connection.execute(insert(eggs.table), {"name": f"{number}"})
            connection.execute(
                text("UPDATE eggs SET name = name || ' laid' WHERE name = CAST(:n AS TEXT)"), {"n": str(number)}
            )
            assert connection.scalar(text("SELECT pg_backend_pid()")) == before
            return int(before)

        return run

    backends = await asyncio.gather(*(database.write(operation(number)) for number in range(60)))
    assert len(set(backends)) == SERVER_CONNECTIONS
    assert await database.read(eggs.count) == 60


async def test_single_statements(database: Database, eggs: Any) -> None:
    """The same statement is executed on either server connection, where neither has it prepared."""

    def add(number: int) -> Any:
        def run(connection: Connection) -> None:
            connection.execute(insert(eggs.table), {"name": f"{number}"})

        return run

    await asyncio.gather(*(database.write(add(number), single=True) for number in range(60)))
    counts = await asyncio.gather(*(database.read(eggs.count, single=True) for _ in range(20)))
    assert counts == [60] * 20
    await asyncio.gather(*(asyncio.to_thread(database.write_blocking, add(number)) for number in range(60, 70)))
    assert await database.read(eggs.count) == 70


async def test_sessions(database: Database, eggs: Any) -> None:
    """Sessions commit and roll back as everywhere, and what joins them shares their fate."""
    async with database.session() as session, session.begin():
        await session.execute(insert(eggs.table), {"name": "own"})
        await open_units()[-1].run(eggs.add("joined"))
    async with database.session() as session:
        await session.execute(insert(eggs.table), {"name": "lost"})
        await unit_of(session).run(eggs.add("lost too"))
        await session.rollback()
    assert await database.read(eggs.names) == ["joined", "own"]
    async with database.session() as session:
        assert sorted(await session.scalars(select(eggs.table.c.name))) == ["joined", "own"]


async def test_isolation(database: Database) -> None:
    """The level is told with each transaction, not once for a connection."""
    query = text("SHOW transaction_isolation")
    levels = await asyncio.gather(
        *(run(lambda it: it.scalar(query)) for _ in range(10) for run in (database.read, database.write))
    )
    assert levels == ["repeatable read", "read committed"] * 10


async def test_cancelled(database: Database, eggs: Any) -> None:
    """Cancelled transactions leave nothing behind, on neither side of the bouncer."""

    def operation(connection: Connection) -> None:
        connection.execute(insert(eggs.table), {"name": "half"})
        connection.execute(text("SELECT pg_sleep(0.02)"))
        raise ZeroDivisionError

    for tick in range(10):
        tasks = [asyncio.create_task(database.write(operation)) for _ in range(4)]
        await asyncio.sleep(tick / 1000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    pool: Any = database.engine.pool
    await wait_until(lambda: pool.checkedout() == 0)
    assert await database.read(eggs.count) == 0
    await asyncio.gather(*(database.write(eggs.add(str(number))) for number in range(10)))


async def test_restarted(database: Database, bouncer: Pgbouncer, eggs: Any) -> None:
    """A bouncer that was restarted is met again without an error; one that is not there is not available."""
    await database.write(eggs.add("before"))
    await asyncio.to_thread(bouncer.restart)
    assert await database.write(eggs.add("after")) == "after"
    await asyncio.to_thread(bouncer.stop)
    try:
        with pytest.raises(DatabaseUnavailable):
            await database.write(eggs.add("nowhere"))
    finally:
        await asyncio.to_thread(bouncer.start)
    assert await database.read(eggs.names) == ["after", "before"]


async def test_migrations(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are migrated once by however many processes: the lock is the transaction's."""
    package = f"bounced_{database.engine.driver}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    metadata = MetaData()
    Table("orders", metadata, Column("id", Integer, primary_key=True), Column("item", String(9)))
    tables = (Tables("OrdersModule", metadata, f"{package}.migrations"),)
    assert await revise(database, tables[0], "Orders begin") is not None
    done = await asyncio.gather(*(migrate(database, tables) for _ in range(3)))
    assert sorted(done) == [(), (), ("OrdersModule",)]
    await check(database, tables)
