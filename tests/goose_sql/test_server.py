"""Tests of Database and migrations on a PostgreSQL server; skipped by name where there is none."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import IntegrityError

from goose_sql import Database, DatabaseUnavailable, Tables, open_units, unit_of
from goose_sql.errors import UnsupportedDatabase
from goose_sql.migrations import check, migrate, pending, revise
from store_contract.places import is_required
from waiting import wait_until

URL = make_url(os.environ.get("GOOSE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test"))


def answers() -> bool:
    try:
        with socket.create_connection((URL.host or "127.0.0.1", URL.port or 5432), timeout=1):
            return importlib.util.find_spec("psycopg") is not None
    except OSError:
        return False


@pytest.fixture(scope="module")
def server() -> str:
    if not answers():
        if is_required("postgresql"):
            pytest.fail(f"no PostgreSQL at {URL}")
        pytest.skip(f"no PostgreSQL at {URL}")
    return URL.render_as_string(hide_password=False)


@pytest.fixture
async def database(server: str, eggs: Any) -> AsyncIterator[Database]:
    async with Database(server, pool_size=3) as database:
        await database.write(lambda connection: connection.execute(text("DROP SCHEMA IF EXISTS goose_sql CASCADE")))
        await database.write(lambda connection: connection.execute(text("CREATE SCHEMA goose_sql")))
    async with Database(URL.update_query_dict({"options": "-csearch_path=goose_sql"}), pool_size=3) as database:
        await database.write(eggs.metadata.create_all)
        yield database


async def test_write_and_read(database: Database, eggs: Any) -> None:
    """An operation is one transaction; its own errors come back unchanged, what a read does is undone."""
    assert await database.write(eggs.add("a")) == "a"
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: (eggs.add("b")(connection), eggs.add("a")(connection)))
    await database.read(eggs.add("c"))
    await database.check()
    assert await database.read(eggs.names) == ["a"]
    assert database.same_place(URL)


async def test_from_threads(database: Database, eggs: Any) -> None:
    """Threads write with write_blocking, and wait no longer than they said."""
    assert await asyncio.to_thread(database.write_blocking, eggs.add("a")) == "a"
    with pytest.raises(DatabaseUnavailable, match=r"it did not answer within 0.05 s\.$"):
        await asyncio.to_thread(
            lambda: database.write_blocking(lambda it: it.execute(text("SELECT pg_sleep(30)")), timeout=0.05)
        )
    assert await database.read(eggs.names) == ["a"]


@pytest.mark.parametrize("committed", [True, False])
async def test_joining(database: Database, eggs: Any, committed: bool) -> None:
    """What has joined a session or a connection shares its fate, and a failing part harms nothing else."""
    told: list[str] = []
    for name, opened in (("s", database.session()), ("c", database.engine.connect())):
        async with opened as subject:
            unit = unit_of(subject)
            assert unit.is_on(database)
            await subject.execute(insert(eggs.table), {"name": f"{name} own"})
            unit.after_commit(lambda name=name: told.append(name))
            with pytest.raises(IntegrityError):
                await unit.run(eggs.add(f"{name} own"))
            await asyncio.gather(*(unit.run(eggs.add(f"{name} {n}")) for n in range(3)))
            assert not unit.holds_write_lock
            assert told == [*("s" for _ in range(committed and name == "c"))]
            await (subject.commit() if committed else subject.rollback())
    assert told == (["s", "c"] if committed else [])
    assert len(await database.read(eggs.names)) == (8 if committed else 0)


async def test_cancelled(database: Database, eggs: Any) -> None:
    """Cancelled writes and sessions leave no connection checked out and no half transaction."""

    def two(number: int) -> Any:
        def operation(connection: Connection) -> None:
            eggs.add(f"{number} a")(connection)
            eggs.add(f"{number} b")(connection)

        return operation

    async def by_session(number: int) -> None:
        async with database.session() as session, session.begin():
            await session.execute(insert(eggs.table), {"name": f"{number} a"})
            await open_units()[-1].run(eggs.add(f"{number} b"))

    for number in range(0, 60, 2):
        tasks = [asyncio.create_task(database.write(two(number))), asyncio.create_task(by_session(number + 1))]
        await asyncio.sleep(number / 10_000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    pool: Any = database.engine.pool
    await wait_until(lambda: pool.checkedout() == 0)
    names = await database.read(eggs.names)
    assert {name[:-2] for name in names if name.endswith("a")} == {name[:-2] for name in names if name.endswith("b")}


async def test_unavailable(server: str) -> None:
    """A server that is not there, or has no such database, is one sentence without the password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(DatabaseUnavailable) as refusal:
            await Database(f"postgresql://u:s3cret@127.0.0.1:{port}/d").open()
    assert str(refusal.value).startswith(
        f"The database postgresql+psycopg://u:***@127.0.0.1:{port}/d is not available: "
    )
    assert "\n" not in str(refusal.value)
    with pytest.raises(DatabaseUnavailable, match='database "nowhere" does not exist'):
        await Database(URL.set(database="nowhere")).open()


async def test_too_old(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is too old is told with both versions."""
    monkeypatch.setitem(__import__("goose_sql.on_server", fromlist=["_OLDEST"])._OLDEST, "postgresql", (99, 1))
    with pytest.raises(UnsupportedDatabase, match=r"found \d+\.\d+, need 99.1 or newer\.$"):
        await Database(URL).open()


async def test_migrations(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are written for the server's dialect and migrated once by however many processes."""
    folder = tmp_path / "pgshop"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    metadata = MetaData()
    Table("orders", metadata, Column("id", Integer, primary_key=True), Column("item", String(9)))
    tables = (Tables("OrdersModule", metadata, "pgshop.migrations"),)
    assert await revise(database, tables[0], "Orders begin") is not None
    assert await pending(database, tables) == ("OrdersModule",)
    done = await asyncio.gather(*(migrate(database, tables) for _ in range(3)))
    assert sorted(done) == [(), (), ("OrdersModule",)]
    await check(database, tables)
    assert await revise(database, tables[0], "nothing") is None
