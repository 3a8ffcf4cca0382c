"""Text that is no UTF-8: SQLite keeps what a hand has written, whatever its bytes, and the driver refuses to read it.

One such row must not keep the others from being worked on. ``store`` and ``wakeup`` work through here: an operation that
meets such text is run again, and gets bytes in its place, which no column of text may hold: the row is found corrupt.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias, TypeVar

from sqlalchemy import Connection

from goose_sql import Database

T = TypeVar("T")
Operation: TypeAlias = Callable[[Connection], T]

# The driver has no code for this fault, only a sentence, which goes on with the text itself.
_SENTENCE: Final = "Could not decode to UTF-8"


async def read(database: Database, operation: Operation[T], *, single: bool = False) -> T:
    """``Database.read``, whatever there is to be read."""
    try:
        return await database.read(operation, single=single)
    except sqlite3.OperationalError as error:
        if not str(error).startswith(_SENTENCE):
            raise
    return await database.read(partial(_leniently, operation))


async def write(database: Database, operation: Operation[T], *, single: bool = False) -> T:
    """``Database.write``, whatever there is to be read."""
    try:
        return await database.write(operation, single=single)
    except sqlite3.OperationalError as error:
        if not str(error).startswith(_SENTENCE):
            raise
    return await database.write(partial(_leniently, operation))


def _leniently(operation: Operation[T], connection: Connection) -> T:
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        return operation(connection)
    usual, raw.text_factory = raw.text_factory, _text_or_bytes
    try:
        return operation(connection)
    finally:
        raw.text_factory = usual


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
