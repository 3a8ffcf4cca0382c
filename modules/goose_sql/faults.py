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


_GONE_STATES: Final = frozenset({"53300", "57P01", "57P02", "57P03", "57P04", "57P05"})
"""PostgreSQL: too many connections; shut down, crashed, starting up or recovering, its database dropped, idle too long."""
_GONE_CODES: Final = frozenset(
    {1040, 1053, 1077, 1079, 1080, 1129, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1927}
    | {2002, 2003, 2004, 2005, 2006, 2013, 2014, 2055, 3168, 4031}
)
"""MySQL: too many connections; shutting down; the host is blocked; the line broke; the connection was killed; idle."""
_REFUSED_STATES: Final = frozenset({"28000", "28P01", "3D000"})
"""Who one is, the password, the name of the database."""
_READ_ONLY_STATES: Final = frozenset({"25006"})
_READ_ONLY_CODES: Final = frozenset({1290, 1836})
"""It became a replica, or an administrator has locked it; what was its connection may lead to another server next."""
_CONFLICT_STATES: Final = frozenset({"40001", "40P01", "55P03"})
_CONFLICT_CODES: Final = frozenset({1205, 1213, 1684})
"""MySQL: a lock was waited for too long; a deadlock; a table that is being changed cannot be described now."""


_FORBIDDEN_STATES: Final = frozenset({"42501"})
_FORBIDDEN_CODES: Final = frozenset({1044, 1142, 1143, 1227, 1370})
"""What a user may not do: with a database, a table, a column, a routine, or at all."""


def explained(address: Address, error: BaseException) -> BaseException:
    """The error that the caller gets: ``DatabaseUnavailable`` where it is one, else the error as it is."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(address, error, error.orig)
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(address, error, error)
    if _isunavailable(error):
        return unavailable(address, error, told(error))
    return error


def _of_sqlite(address: Address, error: BaseException, fault: sqlite3.Error) -> BaseException:
    hint = _SQLITE.get(primary_code(fault) or -1)
    return error if hint is None else unavailable(address, error, f"{fault}. {hint}")


def is_lost(error: BaseException) -> bool:
    """Whether a server says by this error that the connection is no good any more; nothing is said of other errors."""
    state, code = _signs(error)
    if state in _READ_ONLY_STATES or (code in _READ_ONLY_CODES and "read" in first_line(error)):
        return True
    return state in _GONE_STATES or state.startswith("08") or code in _GONE_CODES


def is_conflict(error: BaseException) -> bool:
    """Whether two transactions stood in each other's way, so that the same one may do well the next time."""
    state, code = _signs(error)
    return state in _CONFLICT_STATES or code in _CONFLICT_CODES


def remedy(error: BaseException) -> str:
    """What helps where a server has forbidden a statement; empty for other errors."""
    state, code = _signs(error)
    if state in _READ_ONLY_STATES or (code in _READ_ONLY_CODES and "read" in first_line(error)):
        return "It takes no writes: name the primary server, not a replica."
    if state in _FORBIDDEN_STATES or code in _FORBIDDEN_CODES:
        return "Give its user the right to do so, or name another user in the URL."
    return ""


def _signs(error: BaseException) -> tuple[str, int]:
    """PostgreSQL's state and MySQL's number of an error; empty and zero where it has none."""
    fault = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(fault, "sqlstate", None)
    code = fault.args[0] if fault.args else 0
    return state if isinstance(state, str) else "", code if isinstance(code, int) else 0


def _isunavailable(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        # Without a statement it is the connecting itself that failed.
        connecting = error.statement is None and isinstance(error, OperationalError | InterfaceError)
        return error.connection_invalidated or connecting or is_lost(error) or _signs(error)[0] in _REFUSED_STATES
    return isinstance(error, PoolTimeout | OSError) or is_lost(error)


def first_line(error: BaseException) -> str:
    """What the driver says, in one sentence."""
    fault = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = fault.args[1] if len(fault.args) == 2 and isinstance(fault.args[0], int) else fault
    lines = str(said).strip().splitlines()
    return lines[0].rstrip(".") + "." if lines else f"{type(fault).__name__}."


def told(error: BaseException) -> str:
    """What the driver says, and what helps where that is known."""
    return f"{first_line(error)} {remedy(error)}".strip()


def unavailable(address: Address, error: BaseException, reason: str) -> DatabaseUnavailable:
    """The error for a reason of our own, or the driver's; the password is taken out of it."""
    unavailable = DatabaseUnavailable(str(address), without_secrets(reason, address.url))
    unavailable.__cause__ = error
    return unavailable
