"""Tests of sessions on SQLite: no locks met, units of work by scope, nothing left over after a cancellation."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import AsyncAdaptedQueuePool

from goose import Scope
from goose_sql import Database, open_units
from goose_sql.sqlite import RawConnection, SqliteFile
from waiting import wait_until


def checked_out(database: Database) -> int:
    pool = database.engine.pool
    if not isinstance(pool, AsyncAdaptedQueuePool):
        raise TypeError(type(pool))
    return pool.checkedout()


async def test_read_then_write_then_join(database: Database, eggs: Any) -> None:
    """Fifty tasks that read, then write, then have an operation join: all succeed, and nothing is there twice."""

    async def one(number: int) -> None:
        async with Scope() as scope:
            session = database.session_of(scope)
            await session.scalar(select(eggs.table.c.name).where(eggs.table.c.id == 1))
            await asyncio.sleep(0)
            await session.execute(insert(eggs.table), {"name": f"written {number}"})
            (unit,) = open_units()
            await asyncio.gather(*(unit.run(eggs.add(f"joined {number} {part}")) for part in range(2)))

    for start in (0, 50):
        await asyncio.gather(*(one(number) for number in range(start, start + 50)))
    assert await database.read(eggs.count) == 300
    assert checked_out(database) == 0


async def test_beside_the_writer(database: Database, eggs: Any) -> None:
    """Sessions and the writer's operations take turns on one file, also through two databases."""
    async with Database(database.url) as other:

        async def by_session(place: Database, number: int) -> None:
            async with place.session() as session, session.begin():
                await session.scalar(select(eggs.table.c.name))
                await session.execute(insert(eggs.table), {"name": f"session {number}"})

        await asyncio.gather(
            *(by_session(database if n % 2 else other, n) for n in range(40)),
            *((database if n % 2 else other).write(eggs.add(f"writer {n}")) for n in range(200)),
        )
        assert await database.read(eggs.count) == 240


async def test_reads_keep_no_snapshot(database: Database, eggs: Any) -> None:
    """A session that has read writes on top of what others have committed since."""
    async with database.session() as session:
        assert await session.scalar(select(eggs.table.c.name)) is None
        await database.write(eggs.add("a"))
        assert await session.scalar(select(eggs.table.c.name)) == "a"
        await session.execute(update(eggs.table).values(name="b"))
        await session.commit()
    assert await database.read(eggs.names) == ["b"]


async def test_savepoint(database: Database, eggs: Any) -> None:
    """begin_nested begins the transaction first, and undoes its own part alone."""
    async with database.session() as session:
        await session.scalar(select(eggs.table.c.name))
        async with session.begin_nested():
            await session.execute(insert(eggs.table), {"name": "kept"})
            assert open_units()[-1].holds_write_lock
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await session.execute(insert(eggs.table), {"name": "undone"})
                await session.execute(insert(eggs.table), {"name": "kept"})
        assert await database.read(eggs.count) == 0
        await session.commit()
    assert await database.read(eggs.names) == ["kept"]


async def test_rollback(database: Database, eggs: Any) -> None:
    """A session that ends without a commit has written nothing and holds nothing."""
    async with database.session() as session:
        await session.execute(insert(eggs.table), {"name": "a"})
        await session.rollback()
        await database.write(eggs.add("b"))
        await session.execute(insert(eggs.table), {"name": "c"})
    await database.write(eggs.add("d"))
    assert await database.read(eggs.names) == ["b", "d"]


async def test_transaction(database: Database, eggs: Any) -> None:
    """transaction() commits at its end, rolls back on an error, and is an open unit meanwhile."""
    async with database.transaction() as connection:
        await connection.execute(insert(eggs.table), {"name": "a"})
        await open_units()[-1].run(eggs.add("b"))
    with pytest.raises(LookupError):
        async with database.transaction() as connection:
            await connection.execute(insert(eggs.table), {"name": "c"})
            raise LookupError
    assert open_units() == ()
    assert await database.read(eggs.names) == ["a", "b"]


async def test_with_rows(database: Database, eggs: Any) -> None:
    """Rows of RETURNING, of a stream and of a partial fetch come as they should."""
    async with database.session() as session, session.begin():
        names = [{"name": f"{n:03}"} for n in range(200)]
        ids = (await session.execute(insert(eggs.table).returning(eggs.table.c.id), names)).scalars().all()
        assert len(set(ids)) == 200
        streamed = await session.stream_scalars(select(eggs.table.c.name).order_by(eggs.table.c.name))
        assert await streamed.fetchmany(2) == ["000", "001"]
        assert len([name async for name in streamed]) == 198
        many = await session.execute(text("SELECT id FROM eggs"))
        assert len(many.fetchmany(10)) == 10
        assert many.fetchone() is not None


async def test_statements_with_a_transaction_of_their_own(database: Database, eggs: Any) -> None:
    """VACUUM runs outside a transaction and passes the turn on; a BEGIN by hand holds it until its COMMIT."""
    async with database.engine.connect() as connection:
        await connection.execute(text("VACUUM"))
        await connection.execute(text("BEGIN"))
        await connection.execute(insert(eggs.table), {"name": "a"})
        await connection.execute(text("COMMIT"))
        await database.write(eggs.add("b"))
    assert await database.read(eggs.names) == ["a", "b"]


async def test_scope(database: Database, eggs: Any) -> None:
    """A scope's session is committed with the scope, rolled back with its error, and closed after both."""
    async with Scope() as scope:
        await database.session_of(scope).execute(insert(eggs.table), {"name": "kept"})
        assert await database.read(eggs.count) == 0
    with pytest.raises(LookupError):
        async with Scope() as scope:
            await database.session_of(scope).execute(insert(eggs.table), {"name": "undone"})
            raise LookupError
    assert await database.read(eggs.names) == ["kept"]
    assert checked_out(database) == 0


async def test_failing_commit(database: Database, eggs: Any) -> None:
    """A commit that fails at the scope's end is the scope's error, and leaves nothing open."""
    await database.write(
        lambda connection: connection.execute(
            text("CREATE TABLE late (egg INTEGER REFERENCES eggs (id) DEFERRABLE INITIALLY DEFERRED)")
        )
    )
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        async with Scope() as scope:
            await database.session_of(scope).execute(text("INSERT INTO late VALUES (17)"))
    await database.write(eggs.add("a"))
    assert checked_out(database) == 0


async def test_units_of_a_scope(database: Database) -> None:
    """A scope's unit is seen by its child tasks and threads and nowhere else; the task's own come after it."""
    async with Scope() as scope:
        assert open_units() == ()
        session = database.session_of(scope)
        (unit,) = open_units()
        assert unit.subject is session
        assert await asyncio.create_task(_units()) == (unit,)
        assert await asyncio.to_thread(open_units) == (unit,)
        async with database.session() as inner:
            assert [each.subject for each in open_units()] == [session, inner]
        async with Scope():
            assert open_units() == ()
    assert open_units() == ()


async def _units() -> object:
    return open_units()


async def test_cancel_storm(database: Database, eggs: Any, path: Path) -> None:
    """Requests cancelled at any moment leave no connection checked out, no turn held, and no half transaction."""
    chance = random.Random(17)

    async def request(number: int) -> None:
        async with Scope() as scope:
            session = database.session_of(scope)
            await session.scalar(select(eggs.table.c.name))
            await session.execute(insert(eggs.table), {"name": f"{number} one"})
            await open_units()[0].run(eggs.add(f"{number} two"))

    cancelled = 0
    for start in range(0, 300, 30):
        tasks = [asyncio.create_task(request(number)) for number in range(start, start + 30)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(chance.random() / 2000)
            chance.choice(tasks).cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        cancelled += sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert cancelled > 0
    await wait_until(lambda: checked_out(database) == 0)
    await database.write(eggs.add("still writes"))
    names = await database.read(eggs.names)
    ones = {name.removesuffix(" one") for name in names if name.endswith(" one")}
    twos = {name.removesuffix(" two") for name in names if name.endswith(" two")}
    assert ones == twos
    with sqlite3.connect(path, timeout=0) as other:
        other.execute("INSERT INTO eggs (name) VALUES ('nobody holds the lock')")
    other.close()


async def test_cancelled_commit(database: Database, eggs: Any) -> None:
    """A task that is cancelled while its scope commits still commits, and is cancelled then."""
    ending = asyncio.Event()

    async def request() -> None:
        async with Scope() as scope:
            session = database.session_of(scope)
            await session.execute(insert(eggs.table), {"name": "a"})
            ending.set()

    task = asyncio.create_task(request())
    await ending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert checked_out(database) == 0
    assert await database.read(eggs.names) == ["a"]


async def test_cancelled_while_connecting(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is cancelled while a connection is opened for it leaves that connection closed."""
    connect, opened, may_return = SqliteFile.connect, threading.Event(), threading.Event()
    close, closed = RawConnection.close, threading.Event()

    def connect_slowly(file: SqliteFile) -> RawConnection:
        raw = connect(file)
        opened.set()
        may_return.wait(30)
        return raw

    def close_and_tell(raw: RawConnection) -> None:
        close(raw)
        closed.set()

    monkeypatch.setattr(SqliteFile, "connect", connect_slowly)
    monkeypatch.setattr(RawConnection, "close", close_and_tell)

    async def read() -> None:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))

    task = asyncio.create_task(read())
    await asyncio.to_thread(opened.wait, 30)
    task.cancel()
    may_return.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Not asked of the connection: its thread may be closing it in that very moment, and SQLite's module crashes then.
    await wait_until(closed.is_set)


async def test_cancelled_while_waiting_for_the_turn(database: Database, eggs: Any) -> None:
    """Who is cancelled in the line leaves it, and its connection is whole again."""
    async with database.session() as holder:
        await holder.execute(insert(eggs.table), {"name": "a"})

        async def write() -> None:
            async with database.session() as session:
                await session.execute(insert(eggs.table), {"name": "b"})

        task = asyncio.create_task(write())
        await wait_until(lambda: len(database._open._turnstile._line) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await holder.commit()
    await database.write(eggs.add("c"))
    await wait_until(lambda: checked_out(database) == 0)
    assert await database.read(eggs.names) == ["a", "c"]
