"""A SQLAlchemy ``Connection`` lent over a sqlite3 connection whose transaction somebody else begins and ends.

This is how operations see SQLite everywhere: on the writer's thread, on a reader's, and joined to a session. Core
compiles and executes; it cannot commit, roll back or close what is not its own. All of them share one engine, and so
one cache of compiled statements.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from goose_sql.errors import NotYourTransaction

_lent = threading.local()


def lent(raw: sqlite3.Connection) -> Connection:
    """A Core connection over ``raw``, which stays the caller's; ``connection.connection.driver_connection`` is it."""
    _lent.raw = raw
    try:
        connection = _engine().connect()
    finally:
        del _lent.raw
    connection.begin()
    return connection


def is_usable(connection: Connection) -> bool:
    """Whether a lent connection is as it was when it was lent, so that the next operation may have it."""
    return not connection.closed and connection.in_transaction() and not connection.in_nested_transaction()


class LentDialect(SQLiteDialect_pysqlite):
    """pysqlite's dialect without any power over the transaction and the life of the connection."""

    supports_statement_cache = True
    driver = "goose_lent"

    def do_commit(self, dbapi_connection: Any) -> None:  # noqa: ARG002 - SQLAlchemy passes it
        raise NotYourTransaction

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Leave the transaction to its owner, who rolls back when the operation raises."""

    def do_close(self, dbapi_connection: Any) -> None:
        """Leave the connection to its owner."""

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Leave the connection to its owner."""

    def on_connect(self) -> Callable[[Any], None]:
        return _nothing


registry.register("sqlite.goose_lent", __name__, "LentDialect")


@cache
def _engine() -> Engine:
    return create_engine(
        "sqlite+goose_lent:///lent",
        creator=lambda: _lent.raw,
        poolclass=NullPool,
        pool_reset_on_return=None,
    )


def _nothing(_: object) -> None:
    """Functions are added where the connection is made: that is not allowed while statements run."""
