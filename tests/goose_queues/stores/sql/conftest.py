"""A store on a fresh file, and a hand that can write anything into it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from goose_queues.clock import Clock
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database

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
