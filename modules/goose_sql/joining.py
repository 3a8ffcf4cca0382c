"""How an operation joins a transaction that somebody else has begun: wholly or not at all, behind a SAVEPOINT.

Called by ``units``. On SQLite it runs on the driver's own connection, in one trip to its thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import aiosqlite
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from goose_sql.driver import TurnConnection, raw_of
from goose_sql.lent import lent
from goose_sql.statements import Kind

T = TypeVar("T")


async def join_async(connection: AsyncConnection, operation: Callable[[Connection], T]) -> T:
    """Run an operation inside the transaction of async code."""
    if connection.dialect.name == "sqlite":
        # The transaction has to have begun in SQLAlchemy's eyes as well, or nothing would commit it.
        if not connection.in_transaction():
            _ = await connection.begin()
        driver = (await connection.get_raw_connection()).driver_connection
        if isinstance(driver, TurnConnection):
            return await driver.run(partial(_join_raw, operation), Kind.WRITES)
        if isinstance(driver, aiosqlite.Connection):
            return cast("T", await driver._execute(_join_raw, operation, raw_of(driver)))  # type: ignore[no-untyped-call]  # noqa: SLF001
    return await connection.run_sync(_join, operation)


def join_here(connection: Connection, operation: Callable[[Connection], T]) -> T:
    """Run an operation inside the transaction of blocking code, in its thread."""
    driver: Any = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        if not connection.in_transaction():
            connection.begin()
        return _join_raw(operation, driver)
    return _join(connection, operation)


def _join(connection: Connection, operation: Callable[[Connection], T]) -> T:
    with connection.begin_nested():
        return operation(connection)


def _join_raw(operation: Callable[[Connection], T], raw: sqlite3.Connection) -> T:
    if not raw.in_transaction:
        # In its legacy mode the driver would not begin before a SAVEPOINT, whose RELEASE would then commit.
        raw.execute("BEGIN IMMEDIATE")
    raw.execute("SAVEPOINT goose_joined")
    try:
        with lent(raw) as connection:
            result = operation(connection)
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK TO goose_joined")
            raw.execute("RELEASE goose_joined")
        raise
    raw.execute("RELEASE goose_joined")
    return result
