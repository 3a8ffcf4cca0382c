"""Tests of Database.read and the change counter."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Connection

from goose_sql import Database, DatabaseClosed, DatabaseUnavailable
from goose_sql.errors import SqliteOnly
from goose_sql.on_server import OnServer
from goose_sql.urls import Address
from waiting import wait_until


async def test_one_moment(database: Database, eggs: Any) -> None:
    """All statements of one read see the same data; the next read sees what was committed meanwhile."""
    reached, go = threading.Event(), threading.Event()

    def twice(connection: Connection) -> tuple[int, int]:
        first = eggs.count(connection)
        reached.set()
        go.wait(30)
        return first, eggs.count(connection)

    reading = asyncio.ensure_future(database.read(twice))
    await wait_until(reached.is_set)
    await database.write(eggs.add("a"))
    go.set()
    assert await reading == (0, 0)
    assert await database.read(eggs.count) == 1


async def test_no_writing(database: Database, eggs: Any) -> None:
    """A read that writes is refused, and nothing is stored."""
    with pytest.raises(DatabaseUnavailable, match="attempt to write a readonly database"):
        await database.read(eggs.add("a"))
    assert await database.read(eggs.count) == 0


async def test_together(database: Database, eggs: Any) -> None:
    """Slow reads run beside each other, on a few threads at most; more of them wait."""
    go = threading.Event()
    inside: list[int] = []

    def slow(connection: Connection) -> int:
        inside.append(threading.get_ident())
        go.wait(30)
        return eggs.count(connection)

    reads = [asyncio.ensure_future(database.read(slow)) for _ in range(12)]
    await wait_until(lambda: len(inside) == 4)
    await database.write(eggs.add("a"))
    go.set()
    await asyncio.gather(*reads)
    assert len(set(inside)) == 4


async def test_errors_and_leftovers(database: Database, eggs: Any) -> None:
    """A read's own error comes back unchanged; one that leaves its connection in disorder harms no other."""
    with pytest.raises(LookupError, match="mine"):
        await database.read(lambda _: {}["mine"])
    await database.read(lambda connection: connection.close())
    await database.read(lambda connection: connection.execute(text("SELECT 1 UNION SELECT 2")))
    await database.write(eggs.add("a"))
    assert [await database.read(eggs.count) for _ in range(8)] == [1] * 8


async def test_cancelled(database: Database, eggs: Any) -> None:
    """A cancelled read leaves the threads free for others."""
    for _ in range(50):
        task = asyncio.ensure_future(database.read(eggs.count))
        await asyncio.sleep(0)
        task.cancel()
    assert await asyncio.gather(*(database.read(eggs.count) for _ in range(20))) == [0] * 20


async def test_check(database: Database, path: Path) -> None:
    """check returns while the file can be read, and says what is wrong when it cannot."""
    await database.check()
    await database.close()
    with pytest.raises(DatabaseClosed):
        await database.check()
    await database.open()
    path.write_bytes(b"broken" * 4096)
    with pytest.raises(DatabaseUnavailable):
        await database.check()


async def test_change_counter(database: Database, eggs: Any, path: Path) -> None:
    """The counter moves with every commit of this process or another, and only then."""
    counter = database.change_counter()
    seen = [counter(), counter()]
    await database.write(eggs.add("a"))
    seen += [counter(), counter()]
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM eggs")
    other.close()
    seen += [counter(), await asyncio.to_thread(counter)]
    assert seen[0] == seen[1] != seen[2] == seen[3] != seen[4] == seen[5]
    counter.close()
    counter.close()
    with pytest.raises(DatabaseClosed):
        counter()


async def test_change_counter_ends_with_the_database(database: Database) -> None:
    """Closing the database closes the counters that were left open."""
    counter = database.change_counter()
    await database.close()
    with pytest.raises(DatabaseClosed):
        counter()


def test_servers_have_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a server the counter is refused in one sentence."""
    monkeypatch.setattr("goose_sql.on_server.ServerEngine", lambda *_, **__: None)
    from sqlalchemy.engine import make_url

    address = Address(make_url("postgresql+psycopg://u:secret@h/d"), "postgresql", None)
    with pytest.raises(SqliteOnly) as refusal:
        OnServer(address, pool_size=1, echo=False).change_counter()
    assert str(refusal.value) == "A change counter is for SQLite; postgresql+psycopg://u:***@h/d is a server."
