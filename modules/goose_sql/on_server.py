"""A database server while it is open: SQLAlchemy's async engine, and whole transactions run through it."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from goose_sql.calls import Operation
from goose_sql.errors import DatabaseBusy, SqliteOnly, UnsupportedDatabase
from goose_sql.faults import explained
from goose_sql.readers import ChangeCounter
from goose_sql.sessions import to_its_end
from goose_sql.urls import Address

T = TypeVar("T")

_OLDEST: Final = {"postgresql": (12,), "mysql": (8, 0, 1), "mariadb": (10, 6)}
_CONNECT_TIMEOUT: Final = 10
_LOCK: Final = 0x676F6F7365
"""PostgreSQL names locks by number: "goose" in ASCII."""
_LOCK_TIMEOUT: Final = 300
_RECYCLE: Final = 1800
"""Seconds after which a pooled connection is made anew, before firewalls and servers forget it."""


class OnServer:
    """One opening of one database on a server."""

    def __init__(self, address: Address, *, pool_size: int, echo: bool) -> None:
        self.address: Final = address
        self.engine: Final[AsyncEngine] = create_async_engine(
            address.url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            pool_recycle=_RECYCLE,
            echo=echo,
            **_options(address),
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Connect once.

        Raises:
            DatabaseUnavailable: The server does not answer or refuses.
            UnsupportedDatabase: It is too old.
        """
        self._loop = asyncio.get_running_loop()
        await self.read(self._check_version)

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()

    async def write(self, operation: Operation[T], *, urgent: bool) -> T:  # noqa: ARG002 - nobody stands in line here
        """Run one transaction on a connection of its own."""
        try:
            async with self.engine.begin() as connection:
                return await connection.run_sync(operation)
        except Exception as error:
            raise explained(self.address, error) from error

    def write_blocking(self, operation: Operation[T], *, urgent: bool, timeout: float | None) -> T:
        """The same from a thread, run on the loop of ``open``."""
        if self._loop is None:
            raise RuntimeError("open() was not awaited")
        future = asyncio.run_coroutine_threadsafe(self.write(operation, urgent=urgent), self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            if not future.cancel() or timeout is None:
                raise
            raise DatabaseBusy(str(self.address), timeout) from None

    async def read(self, operation: Operation[T]) -> T:
        """Run an operation whose changes, should it make any, are rolled back."""
        try:
            async with self.engine.connect() as connection:
                return await connection.run_sync(operation)
        except Exception as error:
            raise explained(self.address, error) from error

    async def alter(self, operation: Operation[T]) -> T:
        """Run a change of the layout, in a thread and event loop of its own: the steps of a migration may block."""
        try:
            return await to_its_end(asyncio.to_thread(asyncio.run, self._alter(operation)))
        except Exception as error:
            raise explained(self.address, error) from error

    def change_counter(self) -> ChangeCounter:
        raise SqliteOnly("A change counter", str(self.address))

    async def _alter(self, operation: Operation[T]) -> T:
        engine = create_async_engine(self.address.url, poolclass=NullPool, **_options(self.address))
        async with engine.begin() as connection:
            await connection.run_sync(_lock)
            return await connection.run_sync(operation)

    def _check_version(self, connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        found = connection.dialect.server_version_info or ()
        kind = "mariadb" if getattr(connection.dialect, "is_mariadb", False) else self.address.dialect
        numbers = tuple(part for part in found if isinstance(part, int))
        if numbers and numbers < _OLDEST[kind]:
            raise UnsupportedDatabase(str(self.address), _dotted(numbers), _dotted(_OLDEST[kind]))


def _options(address: Address) -> dict[str, Any]:
    driver = address.url.get_driver_name()
    if address.dialect == "postgresql":
        return {"connect_args": {"connect_timeout": _CONNECT_TIMEOUT}} if driver.startswith("psycopg") else {}
    # REPEATABLE READ, the default there, locks the gaps between rows, so that claims and inserts deadlock.
    arguments = {"charset": "utf8mb4", "connect_timeout": _CONNECT_TIMEOUT, "init_command": "SET time_zone = '+00:00'"}
    return {"isolation_level": "READ COMMITTED", "connect_args": arguments}


def _lock(connection: Connection) -> None:
    """Wait until nobody else changes the layout; the lock ends with the transaction, or with the connection."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    elif not connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), {"name": "goose", "seconds": _LOCK_TIMEOUT}):
        raise TimeoutError("another process is migrating it")


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
