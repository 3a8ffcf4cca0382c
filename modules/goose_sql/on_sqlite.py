"""A SQLite file while it is open: its writer, its readers, the engine of its sessions, and the folder of a private one."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import weakref
from collections.abc import Iterable
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import aiosqlite
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from goose_sql.calls import Operation, awaited, waited
from goose_sql.driver import TurnConnection
from goose_sql.errors import DatabaseBusy, MigrationFailed
from goose_sql.faults import explained
from goose_sql.lent import lent
from goose_sql.readers import ChangeCounter, Readers
from goose_sql.sessions import to_its_end
from goose_sql.sqlite import SqliteFile, Synchronous
from goose_sql.turnstile import turnstile_of
from goose_sql.urls import Address
from goose_sql.writer import Writer

T = TypeVar("T")

_KEPT: Final = 2
"""Times ``pool_size``: connections are cheap here, and sessions that wait for their turn to write each hold one."""


class OnSqlite:
    """One opening of one file."""

    def __init__(
        self, address: Address, *, synchronous: Synchronous, busy_timeout: float, pool_size: int, echo: bool
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="goose-") if address.is_private else None
        path = address.file or Path(self._folder.name if self._folder else "") / "private.db"
        self.address: Final = Address(URL.create("sqlite", database=str(path)), "sqlite", path)
        self._url = str(address)
        self._file = SqliteFile(path, synchronous, busy_timeout)
        self._turnstile = turnstile_of(path)
        self._writer = Writer(self._file, self._turnstile, self._url, self._explain)
        self._readers = Readers(self._file, self._url, self._explain)
        self._counters: weakref.WeakSet[ChangeCounter] = weakref.WeakSet()
        self._sessions: weakref.WeakSet[TurnConnection] = weakref.WeakSet()
        self.engine: Final[AsyncEngine] = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)),
            async_creator=self._connect,
            pool_size=pool_size * _KEPT,
            max_overflow=pool_size * _KEPT,
            echo=echo,
        )

    async def open(self) -> None:
        """Start the writer, which makes the file where it is missing.

        Raises:
            DatabaseUnavailable: The file cannot be opened or is not a database.
        """
        await asyncio.wrap_future(self._writer.start())

    async def close(self) -> None:
        """Finish what is queued, then let go of every thread and connection."""
        self._writer.close()
        self._readers.close()
        await to_its_end(self._end())

    async def write(self, operation: Operation[T], *, urgent: bool, single: bool) -> T:  # noqa: ARG002 - commits are shared
        """Run one transaction on the writer's thread."""
        call, future = awaited(operation, urgent=urgent)
        self._writer.submit(call)
        return await future

    def write_blocking(self, operation: Operation[T], *, urgent: bool, timeout: float | None) -> T:
        """The same from a thread; an operation that has begun within ``timeout`` is waited for."""
        call, future = waited(operation, urgent=urgent)
        self._writer.submit(call)
        wait((future,), timeout)
        if timeout is not None and not future.done() and future.cancel():
            raise DatabaseBusy(self._url, timeout)
        return future.result()

    async def read(self, operation: Operation[T], *, single: bool) -> T:  # noqa: ARG002 - nothing to save here
        """Run an operation on a reader's thread."""
        call, future = awaited(operation)
        self._readers.submit(call)
        return await future

    async def alter(self, operation: Operation[T]) -> T:
        """Run a change of the layout on a connection of its own."""
        return await to_its_end(asyncio.to_thread(self._alter, operation))

    def change_counter(self) -> ChangeCounter:
        """A new counter on a connection of its own."""
        counter = ChangeCounter(self._file, self._url)
        self._counters.add(counter)
        return counter

    async def _end(self) -> None:
        await asyncio.to_thread(self._join)
        await self.engine.dispose()
        # Those of cancelled tasks are no longer the engine's, and may still be closing.
        left = list(self._sessions)
        for connection in left:
            connection.stop()
        await asyncio.to_thread(_join_all, left)
        if self._folder is not None:
            self._folder.cleanup()

    def _alter(self, operation: Operation[T]) -> T:
        if not self._turnstile.enter_blocking(self._file.busy_timeout):
            raise DatabaseBusy(self._url, self._file.busy_timeout)
        try:
            with closing(self._file.connect()) as raw:
                raw.execute("PRAGMA foreign_keys=OFF")
                self._file.begin(raw)
                return _altered(raw, operation)
        except Exception as error:
            raise self._explain(error) from error
        finally:
            self._turnstile.leave()

    def _join(self) -> None:
        self._writer.join()
        self._readers.join()
        for counter in list(self._counters):
            counter.close()

    async def _connect(self) -> aiosqlite.Connection:
        connection = TurnConnection(self._file, self._turnstile, self._url)
        self._sessions.add(connection)
        return await connection

    def _explain(self, error: BaseException) -> BaseException:
        return explained(self.address, error)


def _join_all(connections: Iterable[TurnConnection]) -> None:
    for connection in connections:
        connection.join()


def _altered(raw: sqlite3.Connection, operation: Operation[T]) -> T:
    """Run the operation in the transaction that has begun, and commit it if every row still refers to something."""
    try:
        before = _dangling(raw)
        with lent(raw) as connection:
            result = operation(connection)
        if lost := _dangling(raw) - before:
            table, _, parent, _ = min(lost, key=str)
            raise MigrationFailed(f"table {table}", f"rows refer to what is not in {parent}.")
        raw.execute("COMMIT")
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
    return result


def _dangling(raw: sqlite3.Connection) -> set[tuple[str, int | None, str, int]]:
    """Rows that refer to nothing: their table and id, and where they refer to."""
    return set(raw.execute("PRAGMA foreign_key_check"))
