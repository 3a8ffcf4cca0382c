"""A SQLite file with one small table, and the few things that every test here does with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.engine import Connection

from goose_sql import Database

METADATA = MetaData()
EGGS = Table("eggs", METADATA, Column("id", Integer, primary_key=True), Column("name", String, unique=True))


class Eggs:
    """The table, and operations on it."""

    table = EGGS
    metadata = METADATA

    @staticmethod
    def add(name: str) -> Callable[[Connection], str]:
        def operation(connection: Connection) -> str:
            connection.execute(insert(EGGS), {"name": name})
            return name

        return operation

    @staticmethod
    def names(connection: Connection) -> list[str]:
        return sorted(connection.scalars(select(EGGS.c.name)))

    @staticmethod
    def count(connection: Connection) -> int:
        return connection.scalar(select(func.count()).select_from(EGGS)) or 0


@pytest.fixture
def eggs() -> type[Eggs]:
    return Eggs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "eggs.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite:///{path}", busy_timeout=20) as database:
        await database.write(METADATA.create_all)
        yield database
