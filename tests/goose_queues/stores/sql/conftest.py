"""A store on a fresh file, a hand that can write anything into it, and empty places on every kind of database."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from goose_queues.clock import Clock
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.shared import DATABASES, room

Hand: TypeAlias = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(file: Path, clock: Clock) -> AsyncIterator[SqlStore]:
    store = SqlStore(Database(f"sqlite:///{file}"), clock, owns_database=True, auto_migrate=True)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def hand(file: Path, store: SqlStore) -> Hand:
    """Run SQL on the file, past the store."""

    def run(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            return connection.execute(sql, parameters).fetchall()

    return run


@pytest.fixture(params=["sqlite", *DATABASES])
def clear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Make the place empty, and say where it is."""

    def on_sqlite() -> str:
        for file in tmp_path.glob("queue.db*"):
            file.unlink()
        return f"sqlite:///{tmp_path}/queue.db"

    if request.param == "sqlite":
        yield on_sqlite
        return
    ours = room(request.param)

    def on_server() -> str:
        ours.clear()
        return ours.url.render_as_string(hide_password=False)

    yield on_server
    ours.clear()


@pytest.fixture
async def empty(clear: Callable[[], str]) -> AsyncIterator[Database]:
    async with Database(clear()) as database:
        yield database
