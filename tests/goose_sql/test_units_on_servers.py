"""Tests of units on servers: sessions and connections of the application's own engines, async and blocking, by any driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from goose_sql import Database, unit_of
from servers.drivers import DRIVERS, SERVER_OF, by
from servers.shared import DATABASES, Room, room

METADATA = MetaData()
EGGS = Table("eggs", METADATA, Column("id", Integer, primary_key=True), Column("name", String(99), unique=True))
BLOCKING = {"postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}


@pytest.fixture(params=DATABASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ours(name: str) -> Room:
    return room(name)


@pytest.fixture
async def database(ours: Room) -> AsyncIterator[Database]:
    ours.clear()
    async with Database(ours.url, pool_size=3) as database:
        await database.write(METADATA.create_all)
        yield database


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("kind", [AsyncSession, AsyncConnection])
@pytest.mark.parametrize(("name", "driver"), [(SERVER_OF[each], each) for each in DRIVERS], indirect=["name"])
async def test_async(
    database: Database, name: str, ours: Room, eggs: Any, driver: str, kind: type[Any], committed: bool
) -> None:
    """An async session or connection of another engine is joined: wholly, with its fate, and told after its commit."""
    engine = create_async_engine(by(driver, ours.url))
    told: list[str] = []
    async with kind(engine) if kind is AsyncSession else engine.connect() as subject:
        unit = unit_of(subject)
        assert unit.is_on(database)
        assert not unit.is_sync
        unit.after_commit(lambda: told.append("committed"))
        assert await unit.run(eggs.add("joined")) == "joined"
        with pytest.raises(IntegrityError):
            await unit.run(lambda connection: (eggs.add("half")(connection), eggs.add("joined")(connection)))
        assert unit.in_transaction
        assert not unit.holds_write_lock
        await subject.execute(insert(EGGS), {"name": "own"})
        assert told == []
        assert await database.read(eggs.count) == 0
        await (subject.commit() if committed else subject.rollback())
        assert told == (["committed"] if committed else [])
    await engine.dispose()
    assert await database.read(eggs.names) == (["joined", "own"] if committed else [])


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("kind", [Session, Connection])
async def test_blocking(database: Database, name: str, ours: Room, eggs: Any, kind: type[Any], committed: bool) -> None:
    """A blocking session or connection is joined in place, before its own first statement too."""
    engine = create_engine(by(BLOCKING[name], ours.url))

    def use() -> list[str]:
        told: list[str] = []
        with Session(engine) if kind is Session else engine.connect() as subject:
            unit = unit_of(subject)
            assert unit.is_on(database)
            assert unit.is_sync
            unit.after_commit(lambda: told.append("committed"))
            assert unit.run_blocking(eggs.add("joined")) == "joined"
            with pytest.raises(IntegrityError):
                unit.run_blocking(lambda connection: (eggs.add("half")(connection), eggs.add("joined")(connection)))
            assert unit.in_transaction
            subject.execute(insert(EGGS), {"name": "own"})
            assert told == []
            (subject.commit if committed else subject.rollback)()
            return told

    assert await asyncio.to_thread(use) == (["committed"] if committed else [])
    await asyncio.to_thread(engine.dispose)
    assert await database.read(eggs.names) == (["joined", "own"] if committed else [])


async def test_elsewhere(database: Database, name: str, ours: Room) -> None:
    """A session on another database of the same server is none of this one's."""
    with Session(create_engine(by(BLOCKING[name], ours.url).set(database="other"))) as session:
        assert not unit_of(session).is_on(database)


async def test_cancelled_while_joining(database: Database, eggs: Any) -> None:
    """A task that goes away while its operation runs leaves nothing of it, once its session has ended."""
    for tick in range(20):

        async def use(tick: int = tick) -> None:
            async with database.session() as session, session.begin():
                await unit_of(session).run(eggs.add(f"{tick} a"))
                await unit_of(session).run(eggs.add(f"{tick} b"))

        task = asyncio.create_task(use())
        await asyncio.sleep(tick / 5000)
        task.cancel()
        await asyncio.wait((task,))
    pool: Any = database.engine.pool
    assert pool.checkedout() == 0
    names = await database.read(eggs.names)
    assert {each[:-2] for each in names if each.endswith("a")} == {each[:-2] for each in names if each.endswith("b")}
