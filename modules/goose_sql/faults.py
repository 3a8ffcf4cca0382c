"""Which errors mean that the database cannot be worked with, told apart from what a statement did wrong."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from goose_sql.errors import DatabaseUnavailable
from goose_sql.sqlite import primary_code
from goose_sql.urls import Address, without_secrets

_SQLITE: Final = {
    sqlite3.SQLITE_CANTOPEN: "Does its folder exist, and may this process write there?",
    sqlite3.SQLITE_READONLY: "May this process write to the file and to its folder?",
    sqlite3.SQLITE_PERM: "May this process read and write the file?",
    sqlite3.SQLITE_NOTADB: "Is this the right file?",
    sqlite3.SQLITE_CORRUPT: "Restore it from a backup, or save what is left with sqlite3's .recover.",
    sqlite3.SQLITE_FULL: "Is the disk full?",
    sqlite3.SQLITE_IOERR: "Is the disk full, broken or gone?",
    sqlite3.SQLITE_BUSY: "Another process keeps a transaction open.",
    sqlite3.SQLITE_LOCKED: "Another transaction is open on it.",
}


def explained(address: Address, error: BaseException) -> BaseException:
    """The error that the caller gets: ``DatabaseUnavailable`` where it is one, else the error as it is."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(address, error, error.orig)
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(address, error, error)
    if _is_lost(error):
        return _unavailable(address, error, _reason(error))
    return error


def _of_sqlite(address: Address, error: BaseException, fault: sqlite3.Error) -> BaseException:
    hint = _SQLITE.get(primary_code(fault) or -1)
    return error if hint is None else _unavailable(address, error, f"{fault}. {hint}")


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        # Without a statement it is the connecting itself that failed.
        connecting = error.statement is None and isinstance(error, OperationalError | InterfaceError)
        return error.connection_invalidated or connecting
    return isinstance(error, PoolTimeout | OSError)


def _reason(error: BaseException) -> str:
    fault = error.orig if isinstance(error, DBAPIError) else error
    lines = str(fault).strip().splitlines()
    return lines[0].rstrip(".") + "." if lines else f"{type(fault).__name__}."


def _unavailable(address: Address, error: BaseException, reason: str) -> DatabaseUnavailable:
    unavailable = DatabaseUnavailable(str(address), without_secrets(reason, address.url))
    unavailable.__cause__ = error
    return unavailable
