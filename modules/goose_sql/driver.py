"""The aiosqlite connection of sessions: it takes the file's turn and begins before it writes, and reads without both.

A read outside a transaction sees the newest data and keeps no snapshot that a later write would have to upgrade, so
"database is locked" cannot happen between the sessions of one process. The turn is tied to SQLite's own state: it is
passed on in the moment in which the connection is in no transaction any more, be it by COMMIT, ROLLBACK, an error, or
the connection's end. Each statement is one trip to the connection's thread, rows included.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Self, TypeVar, cast

import aiosqlite

from goose_sql.errors import DatabaseBusy
from goose_sql.sqlite import RawConnection, SqliteFile, is_busy
from goose_sql.statements import Kind, kind_of
from goose_sql.turnstile import Turnstile

T = TypeVar("T")


class TurnConnection(aiosqlite.Connection):
    """A connection in autocommit mode that begins IMMEDIATE, in its turn, with the first statement that writes."""

    def __init__(self, file: SqliteFile, turnstile: Turnstile, url: str) -> None:
        super().__init__(self._open, iter_chunk_size=64)
        self._thread.daemon = True
        self._file = file
        self._turnstile = turnstile
        self._url = url
        self._has_turn = False
        self._raw: RawConnection | None = None
        self._stopped = False
        self._sent = 0
        self._done = 0
        """Trips to the thread, begun (counted in the loop) and ended (counted in the thread)."""

    def cursor(self) -> TurnCursor:  # type: ignore[override]
        """A cursor as SQLAlchemy uses one; it costs no trip."""
        return TurnCursor(self)

    async def run(self, work: Callable[[sqlite3.Connection], T], kind: Kind) -> T:
        """Do ``work`` in the thread; where it writes outside a transaction, in its turn and behind a BEGIN.

        Raises:
            DatabaseBusy: The write lock was not to be had in time.
        """
        if not self._is_idle:
            await self._execute(_wait)  # type: ignore[no-untyped-call]
        if kind is Kind.READS or self.in_transaction:
            return await self._trip(partial(self._work, work, begin=False))
        if not await self._turnstile.enter(self._file.busy_timeout):
            raise DatabaseBusy(self._url, self._file.busy_timeout)
        if not self._running or self._connection is None:
            self._turnstile.leave()
            raise ValueError("Connection closed")
        self._has_turn = True
        return await self._trip(partial(self._work, work, begin=kind is Kind.WRITES))

    async def commit(self) -> None:
        """Commit; free of charge where nothing was begun."""
        if not self._is_idle or self.in_transaction:
            await self._trip(partial(self._end, "COMMIT"))

    async def rollback(self) -> None:
        """Roll back; free of charge where nothing was begun."""
        if not self._is_idle or self.in_transaction:
            await self._trip(partial(self._end, "ROLLBACK"))

    def stop(self) -> asyncio.Future[Any] | None:
        """Close what was opened, whoever waits for it or no longer does, and end the thread; once is enough.

        aiosqlite itself forgets a connection whose opener or closer was cancelled, and waits for ever for a thread
        that has been told to end twice.
        """
        if self._stopped:
            return None
        self._stopped = True
        self._tx.put_nowait((None, self._close_raw))
        return super().stop()

    def join(self) -> None:
        """Block until the thread has ended, after ``stop``; from another thread."""
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def _is_idle(self) -> bool:
        """Whether no trip is on its way: a cancelled one still runs to its end, and may begin a transaction there."""
        return self._sent == self._done

    async def _trip(self, step: Callable[[], T]) -> T:
        self._sent += 1
        return cast("T", await self._execute(step))  # type: ignore[no-untyped-call]

    # --- everything below runs in the connection's thread

    def _open(self) -> sqlite3.Connection:
        self._raw = raw = self._file.connect()
        raw.on_close = self._closed
        return raw

    def _close_raw(self) -> None:
        if self._raw is not None:
            self._raw.close()

    def _work(self, work: Callable[[sqlite3.Connection], T], *, begin: bool) -> T:
        raw = self._conn
        try:
            if begin:
                self._begin(raw)
            return work(raw)
        finally:
            self._pass_turn(raw)

    def _begin(self, raw: sqlite3.Connection) -> None:
        try:
            self._file.begin(raw)
        except sqlite3.OperationalError as error:
            if is_busy(error):
                raise DatabaseBusy(self._url, self._file.busy_timeout) from error
            raise

    def _end(self, sql: str) -> None:
        raw = self._conn
        try:
            if raw.in_transaction:
                raw.execute(sql)
        except sqlite3.Error:
            # SQLite keeps a transaction open whose COMMIT has failed; SQLAlchemy takes it for ended.
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
        finally:
            self._pass_turn(raw)

    def _pass_turn(self, raw: sqlite3.Connection) -> None:
        self._done += 1
        if self._has_turn and not raw.in_transaction:
            self._has_turn = False
            self._turnstile.leave()

    def _closed(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turnstile.leave()


class TurnCursor:
    """What SQLAlchemy's asyncio adaption asks of a cursor; all rows come along with the statement's trip."""

    __slots__ = ("_connection", "_cursor", "_rows", "arraysize")

    def __init__(self, connection: TurnConnection) -> None:
        self._connection = connection
        self._cursor: sqlite3.Cursor | None = None
        self._rows: Iterator[Any] = iter(())
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> Any:
        return None if self._cursor is None else self._cursor.description

    @property
    def rowcount(self) -> int:
        return -1 if self._cursor is None else self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return None if self._cursor is None else self._cursor.lastrowid

    async def execute(self, sql: str, parameters: Any = ()) -> TurnCursor:
        """Run one statement and bring its rows."""
        await self._run(sql, partial(_execute, sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Sequence[Any]) -> TurnCursor:
        """Run one statement for each set of parameters, in one trip."""
        await self._run(sql, partial(_execute_many, sql, parameters))
        return self

    async def fetchone(self) -> Any:
        return next(self._rows, None)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        return list(islice(self._rows, self.arraysize if size is None else size))

    async def fetchall(self) -> list[Any]:
        return list(self._rows)

    async def __aiter__(self) -> AsyncIterator[Any]:
        for row in self._rows:
            yield row

    async def close(self) -> None:
        """Forget the rows; the statement has ended with them."""
        self._rows = iter(())

    async def _run(self, sql: str, step: Callable[[sqlite3.Connection], tuple[sqlite3.Cursor, list[Any]]]) -> None:
        self._cursor, rows = await self._connection.run(step, kind_of(sql))
        self._rows = iter(rows)


def raw_of(driver: aiosqlite.Connection) -> RawConnection | sqlite3.Connection:
    """The standard library's connection inside; to be used in its own thread only."""
    return driver._conn  # noqa: SLF001 - aiosqlite has no public way to run more than one statement in a trip


def _execute(sql: str, parameters: Any, raw: sqlite3.Connection) -> tuple[sqlite3.Cursor, list[Any]]:
    cursor = raw.execute(sql, () if parameters is None else parameters)
    return cursor, cursor.fetchall() if cursor.description else []


def _execute_many(sql: str, parameters: Any, raw: sqlite3.Connection) -> tuple[sqlite3.Cursor, list[Any]]:
    return raw.executemany(sql, parameters), []


def _wait() -> None:
    """Get through the line to the thread, and with that behind everything that was cancelled while it ran."""
