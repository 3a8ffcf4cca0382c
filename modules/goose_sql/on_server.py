"""A database server while it is open: its engine, the thread of its heartbeat, and whole transactions run through them."""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from goose_sql.blocking import Blocking
from goose_sql.calls import Operation
from goose_sql.errors import SqliteOnly, UnsupportedDatabase
from goose_sql.faults import explained, is_conflict
from goose_sql.readers import ChangeCounter
from goose_sql.server_engine import ServerEngine
from goose_sql.sessions import to_its_end
from goose_sql.transactions import read, write
from goose_sql.urls import Address

T = TypeVar("T")

_OLDEST: Final = {"postgresql": (12,), "mysql": (8, 0, 4), "mariadb": (10, 6)}
"""SKIP LOCKED is as old as MySQL 8.0.1, JSON_TABLE as 8.0.4 and MariaDB 10.6."""
_LIMITS: Final = text(
    "SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', '0', true), "
    "set_config('idle_in_transaction_session_timeout', '0', true)"
)
_LOCK: Final = 0x676F6F7365
"""PostgreSQL names locks by number: "goose" in ASCII."""
_PATIENCE: Final = 300
"""Seconds to wait for somebody else who changes the layout, and then for each table to be free."""
_BRIEF: Final = 1
"""Seconds in a row that a change may wait for a table: whoever wants to read or write it meanwhile stands in line behind."""
_PAUSE: Final = 1.0
"""Seconds, more or less, in which they go on before the change is begun again."""


class OnServer:
    """One opening of one database on a server."""

    def __init__(self, address: Address, *, pool_size: int, echo: bool) -> None:
        self.address: Final = address
        self._server: Final = ServerEngine(address, pool_size=pool_size, echo=echo)
        self._blocking: Final = Blocking(partial(ServerEngine, address, pool_size=1, echo=echo), str(address))

    @property
    def engine(self) -> AsyncEngine:
        """The engine of its sessions."""
        return self._server.engine

    async def open(self) -> None:
        """Connect once.

        Raises:
            DatabaseUnavailable: The server does not answer or refuses.
            UnsupportedDatabase: It is too old.
        """
        self._server.watch.start()
        self._server.can_autocommit = await self.read(self._look, single=False)

    async def close(self) -> None:
        """Close every pooled connection."""
        await to_its_end(self._end())

    async def write(self, operation: Operation[T], *, urgent: bool, single: bool) -> T:  # noqa: ARG002 - no line here
        """Run one transaction on a connection of its own."""
        return await write(self._server, operation, single=single)

    def write_blocking(self, operation: Operation[T], *, urgent: bool, timeout: float | None) -> T:  # noqa: ARG002
        """The same from a thread, on the one connection of such calls."""
        return self._blocking.write(operation, timeout=timeout)

    async def read(self, operation: Operation[T], *, single: bool) -> T:
        """Run an operation whose changes, should it make any, are rolled back."""
        return await read(self._server, operation, single=single)

    async def alter(self, operation: Operation[T]) -> T:
        """Run a change of the layout, in a thread and event loop of its own: the steps of a migration may block.

        It is begun again where a table was not free; MySQL keeps what had been changed by then.
        """
        try:
            return await to_its_end(asyncio.to_thread(asyncio.run, self._alter(operation)))
        except Exception as error:
            raise explained(self.address, error) from error

    def change_counter(self) -> ChangeCounter:
        raise SqliteOnly("A change counter", str(self.address))

    async def _end(self) -> None:
        await asyncio.to_thread(self._blocking.close)
        await self._server.close()

    async def _alter(self, operation: Operation[T]) -> T:
        server = ServerEngine(self.address, pool_size=1)
        server.watch.start()
        end = time.monotonic() + _PATIENCE
        try:
            while True:
                try:
                    async with server.engine.begin() as connection:
                        await connection.run_sync(_lock)
                        return await connection.run_sync(operation)
                except Exception as error:
                    if not is_conflict(error.__cause__ or error) or time.monotonic() > end:
                        raise
                await asyncio.sleep(_PAUSE * (0.5 + random.random()))  # noqa: S311 - jitter
        finally:
            await server.close()

    def _look(self, connection: Connection) -> bool:
        """Check the server's version, and find out whether a statement by itself is READ COMMITTED there."""
        found = connection.dialect.server_version_info or ()
        kind = "mariadb" if getattr(connection.dialect, "is_mariadb", False) else self.address.dialect
        numbers = tuple(part for part in found if isinstance(part, int))
        if numbers and numbers < _OLDEST[kind]:
            raise UnsupportedDatabase(str(self.address), _dotted(numbers), _dotted(_OLDEST[kind]))
        if self.address.dialect != "postgresql":
            # The level was set for the whole session, which has the connection to itself: MySQL knows no such poolers.
            return True
        # Of asyncpg's two messages for a statement a pooler would send each somewhere else.
        is_default = connection.scalar(text("SHOW default_transaction_isolation")) == "read committed"
        return is_default and connection.dialect.driver != "asyncpg"


def _lock(connection: Connection) -> None:
    """Wait until nobody else changes the layout; the lock ends with the transaction, or with the connection.

    What follows may take as long as it takes, but not wait long for a table.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_LIMITS, {"lock": f"{_PATIENCE}s"})
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        connection.execute(_LIMITS, {"lock": f"{_BRIEF}s"})
        return
    if not connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), {"name": "goose", "seconds": _PATIENCE}):
        raise TimeoutError("another process is migrating it")
    connection.execute(text("SET SESSION lock_wait_timeout = :seconds"), {"seconds": _BRIEF})
    if getattr(connection.dialect, "is_mariadb", False):
        connection.execute(text("SET SESSION max_statement_time = 0"))


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
