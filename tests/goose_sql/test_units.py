"""Tests of units: what they are on, what joins them, and what is told of their commit."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from goose_sql import Database, open_units, unit_of
from goose_sql.errors import WrongColour
from waiting import wait_until


@pytest.fixture
def foreign(database: Database, path: Path) -> Iterator[Engine]:
    """An engine of the application's own on the same file, as SQLAlchemy makes it."""
    engine = create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def test_of_nothing() -> None:
    """Only sessions and connections have units."""
    with pytest.raises(TypeError) as refusal:
        unit_of("session")  # type: ignore[arg-type]
    assert str(refusal.value) == (
        "str is no transaction: pass an AsyncSession, a Session, an AsyncConnection or a Connection."
    )


async def test_one_unit_each(database: Database, foreign: Engine) -> None:
    """A session or connection has one unit for life."""
    async with database.session() as session, database.transaction() as connection:
        assert unit_of(session) is unit_of(session) is open_units()[0]
        assert unit_of(connection) is unit_of(connection) is open_units()[1]
    with Session(foreign) as plain, foreign.connect() as other:
        assert unit_of(plain) is unit_of(plain)
        assert unit_of(other) is unit_of(other)


async def test_is_on(database: Database, foreign: Engine, tmp_path: Path) -> None:
    """A unit is on the database that has its file, whichever engine leads there."""
    elsewhere = create_engine(f"sqlite:///{tmp_path}/other.db")
    async with database.session() as session:
        assert unit_of(session).is_on(database)
    assert unit_of(Session(foreign)).is_on(database)
    assert not unit_of(Session(elsewhere)).is_on(database)
    assert not unit_of(Session()).is_on(database)


async def test_states(database: Database, eggs: Any) -> None:
    """A unit tells whether its transaction has begun, and whether it keeps others from writing."""
    async with database.session() as session:
        unit = unit_of(session)
        assert (unit.in_transaction, unit.holds_write_lock, unit.is_sync) == (False, False, False)
        await session.execute(text("SELECT 1"))
        assert (unit.in_transaction, unit.holds_write_lock) == (True, False)
        await session.execute(insert(eggs.table), {"name": "a"})
        assert (unit.in_transaction, unit.holds_write_lock) == (True, True)
        await session.commit()
        assert (unit.in_transaction, unit.holds_write_lock) == (False, False)
        await unit.run(eggs.add("b"))
        assert (unit.in_transaction, unit.holds_write_lock) == (True, True)


@pytest.mark.parametrize("committed", [True, False])
async def test_run(database: Database, eggs: Any, committed: bool) -> None:
    """What has joined shares the fate of the transaction."""
    async with database.session() as session:
        await session.execute(insert(eggs.table), {"name": "own"})
        assert await unit_of(session).run(eggs.add("joined")) == "joined"
        await (session.commit() if committed else session.rollback())
    assert await database.read(eggs.names) == (["joined", "own"] if committed else [])


async def test_failing_operation(database: Database, eggs: Any) -> None:
    """An operation that fails half way leaves nothing of its own behind, and the transaction as it was."""

    def half(connection: Connection) -> None:
        eggs.add("half")(connection)
        eggs.add("own")(connection)

    async with database.session() as session, session.begin():
        await session.execute(insert(eggs.table), {"name": "own"})
        with pytest.raises(IntegrityError):
            await unit_of(session).run(half)
        await unit_of(session).run(eggs.add("joined"))
    assert await database.read(eggs.names) == ["joined", "own"]


async def test_cancelled_operation(database: Database, eggs: Any) -> None:
    """An awaiter that goes away while its operation runs leaves the session usable and the operation whole."""
    async with database.session() as session:
        unit = unit_of(session)
        for _ in range(20):
            task = asyncio.create_task(unit.run(eggs.add(str(_))))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait((task,))
        await session.execute(insert(eggs.table), {"name": "own"})
        await session.rollback()
        assert not unit.holds_write_lock
    await database.write(eggs.add("after"))
    assert await database.read(eggs.names) == ["after"]


async def test_cancelled_while_another_process_writes(database: Database, eggs: Any, path: Path) -> None:
    """An awaiter that goes away while SQLite waits for the lock does not leave its session waiting for itself."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with database.session() as session:
        task = asyncio.create_task(unit_of(session).run(eggs.add("joined")))
        await wait_until(lambda: database._open._turnstile._taken)
        task.cancel()
        await asyncio.wait((task,))
        own = asyncio.create_task(session.execute(insert(eggs.table), {"name": "own"}))
        await asyncio.sleep(0)
        other.execute("COMMIT")
        other.close()
        await own
        await session.rollback()
    assert await database.read(eggs.names) == []


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("kind", [AsyncSession, AsyncConnection])
async def test_foreign_async(database: Database, eggs: Any, path: Path, kind: type[Any], committed: bool) -> None:
    """An async session or connection of the application's own engine is joined as well."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with kind(engine) if kind is AsyncSession else engine.connect() as subject:
        unit = unit_of(subject)
        told: list[str] = []
        unit.after_commit(lambda: told.append("committed"))
        await unit.run(eggs.add("joined"))
        assert unit.in_transaction
        assert unit.holds_write_lock
        await subject.execute(insert(eggs.table), {"name": "own"})
        assert told == []
        await (subject.commit() if committed else subject.rollback())
    assert told == (["committed"] if committed else [])
    await engine.dispose()
    assert await database.read(eggs.names) == (["joined", "own"] if committed else [])


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("kind", [Session, Connection])
async def test_blocking(database: Database, foreign: Engine, eggs: Any, kind: type[Any], committed: bool) -> None:
    """A blocking session or connection is joined in place, before its own first statement too."""

    def use() -> list[str]:
        told: list[str] = []
        with Session(foreign) if kind is Session else foreign.connect() as subject:
            unit = unit_of(subject)
            assert unit.is_sync
            unit.after_commit(lambda: told.append("committed"))
            assert unit.run_blocking(eggs.add("joined")) == "joined"
            with pytest.raises(IntegrityError):
                unit.run_blocking(eggs.add("joined"))
            assert unit.holds_write_lock
            subject.execute(insert(eggs.table), {"name": "own"})
            assert told == []
            (subject.commit if committed else subject.rollback)()
            return told

    assert await asyncio.to_thread(use) == (["committed"] if committed else [])
    assert await database.read(eggs.names) == (["joined", "own"] if committed else [])


async def test_wrong_colour(database: Database, foreign: Engine) -> None:
    """A blocking unit is not awaited, an async one not run in place."""
    with Session(foreign) as plain, pytest.raises(WrongColour) as refusal:
        await unit_of(plain).run(lambda _: None)
    assert str(refusal.value) == "Session is blocking: end the sentence with .send()."
    async with database.session() as session:
        with pytest.raises(WrongColour) as other:
            unit_of(session).run_blocking(lambda _: None)
    assert str(other.value) == "AsyncSession is async: await it."


async def test_after_commit(database: Database, eggs: Any) -> None:
    """Callbacks come once, after the outermost commit, in order; not at a savepoint, not after a rollback."""
    told: list[Any] = []
    async with database.session() as session:
        unit = unit_of(session)
        await session.execute(insert(eggs.table), {"name": "a"})
        async with session.begin_nested():
            await session.execute(insert(eggs.table), {"name": "b"})
            unit.after_commit(lambda: told.append(("first", unit.in_transaction)))
        unit.after_commit(lambda: told.append(("second", unit.in_transaction)))
        assert told == []
        await session.commit()
        assert told == [("first", False), ("second", False)]
        await session.commit()

        async with session.begin_nested():
            unit.after_commit(lambda: told.append("dropped"))
        await session.rollback()
        await session.execute(insert(eggs.table), {"name": "c"})
        await session.commit()
        unit.after_commit(lambda: told.append("dropped with the session"))
    assert told == [("first", False), ("second", False)]


async def test_after_commit_of_a_connection(database: Database, eggs: Any) -> None:
    """A connection's callbacks come after its real commit: the data is there for others."""
    told: list[Any] = []
    async with database.engine.connect() as connection:
        unit = unit_of(connection)
        await unit.run(eggs.add("a"))
        unit.after_commit(lambda: told.append("a"))
        async with connection.begin_nested():
            await connection.execute(insert(eggs.table), {"name": "b"})
        assert told == []
        await connection.commit()
        assert told == ["a"]
        await unit.run(eggs.add("c"))
        unit.after_commit(lambda: told.append("c"))
        await connection.rollback()
        await unit.run(eggs.add("after"))
        await connection.commit()
    async with database.engine.connect() as connection:
        await unit_of(connection).run(eggs.add("d"))
        unit_of(connection).after_commit(lambda: told.append("d"))
    await database.write(lambda _: None)
    assert told == ["a"]


async def test_session_inside_a_connection(database: Database, foreign: Engine, eggs: Any) -> None:
    """A session on a connection whose transaction is the outer one waits for that commit."""
    told: list[str] = []

    def use() -> None:
        with foreign.connect() as connection:
            with connection.begin(), Session(connection) as session:
                unit_of(session).run_blocking(eggs.add("a"))
                unit_of(session).after_commit(lambda: told.append("committed"))
                session.commit()
                assert told == []
            assert told == ["committed"]

    await asyncio.to_thread(use)


async def test_failing_commit(database: Database) -> None:
    """A commit that fails calls nobody."""
    told: list[str] = []
    await database.write(
        lambda connection: connection.execute(
            text("CREATE TABLE late (egg INTEGER REFERENCES eggs (id) DEFERRABLE INITIALLY DEFERRED)")
        )
    )
    for subject in (database.session(), database.engine.connect()):
        async with subject as opened:
            await opened.execute(text("INSERT INTO late VALUES (17)"))
            unit_of(opened).after_commit(lambda: told.append("wrong"))
            with pytest.raises(IntegrityError):
                await opened.commit()
    assert told == []


async def test_failing_callback(database: Database, eggs: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What a callback raises is logged; the commit stands and the others are called."""
    told: list[str] = []
    with caplog.at_level(logging.ERROR):
        async with database.session() as session, session.begin():
            await session.execute(insert(eggs.table), {"name": "a"})
            unit_of(session).after_commit(lambda: 1 / 0)
            unit_of(session).after_commit(lambda: told.append("called"))
    assert told == ["called"]
    assert "A callback failed that waited for a commit" in caplog.text
    assert await database.read(eggs.count) == 1
