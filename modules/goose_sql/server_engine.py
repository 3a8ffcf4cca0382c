"""SQLAlchemy's async engine for a server: how its connections are made, checked when taken, and left when given back.

Made by ``on_server``: one for the event loop of the application, one for the thread of the heartbeat, one for each change
of the layout.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import Dialect as SqlDialect
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from goose_sql.faults import is_lost
from goose_sql.sockets import fileno_of, has_news, keep_alive
from goose_sql.urls import Address
from goose_sql.watching import Watch

CONNECT_TIMEOUT: Final = 10
"""Seconds until a new connection is there."""
_LATER: Final = 60
"""Seconds that the drivers are given, so that it is not them who give up: they do not all mean the same by it."""
_RECYCLE: Final = 1800
"""Seconds after which a pooled connection is made anew, before firewalls and servers forget it."""
_IDLE: Final = 60.0
"""Seconds at rest after which a connection's silence proves nothing: the server is asked."""

_IDLE_SECONDS: Final = 10
"""Within which a transaction of our own goes on, or the server ends it with its locks: its process is gone, or frozen."""
_IDLE_LIMIT: Final = f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'"
_BEGIN: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_IDLE_LIMIT}"
_BEGIN_AT_ONE_MOMENT: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ; {_IDLE_LIMIT}"
_ONE_MOMENT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"

_SINCE: Final = "goose_sql.since"
_LIMITED: Final = "goose_sql.limited"
_STRICT: Final = "SET time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')"

_autocommit: ContextVar[bool] = ContextVar("goose_sql_autocommit", default=False)
_limited: ContextVar[bool] = ContextVar("goose_sql_limited", default=False)


class ServerEngine:
    """An engine and the watch over its server, for one event loop.

    Args:
        address: Where the server is.
        pool_size: Connections, at most; none is made before it is needed.
        echo: Log every statement.
    """

    def __init__(self, address: Address, *, pool_size: int, echo: bool = False) -> None:
        self.address: Final = address
        self.engine: Final[AsyncEngine] = create_async_engine(
            address.url,
            pool_size=pool_size,
            max_overflow=0,
            # What is in use now is likely to be of use next; the others grow old together and are few under little load.
            pool_use_lifo=True,
            pool_recycle=_RECYCLE,
            # Their work is done by _given_back and _taken below, mostly without asking the server.
            pool_reset_on_return=None,
            pool_pre_ping=False,
            skip_autocommit_rollback=True,
            # REPEATABLE READ, the default of MySQL, locks the gaps between rows, so that claims and inserts deadlock.
            # PostgreSQL begins its transactions so whatever its own default is, with no statement for it.
            isolation_level="READ COMMITTED",
            echo=echo,
            connect_args=_arguments(address),
        )
        self.can_autocommit = False
        """Whether single statements may be left to the server's autocommit; ``on_server`` finds out."""
        self.watch: Final = Watch(self._ask)
        self._dialect: Final[SqlDialect] = self.engine.dialect
        engine = self.engine.sync_engine
        event.listen(engine, "do_connect", self._connecting)
        event.listen(engine, "handle_error", _judge)
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "reset", self._given_back)
        event.listen(engine, "checkin", self._at_rest)
        event.listen(engine, "close", self._closing)
        event.listen(engine, "invalidate", self._gone)
        event.listen(engine, "detach", self._gone)

    @asynccontextmanager
    async def transaction(self, *, at_one_moment: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction of our own, to be committed inside; else it is rolled back.

        Args:
            at_one_moment: All its statements see the database as the first of them does.
        """
        if self.address.dialect != "postgresql":
            with _said(_limited):
                connection = await self.engine.connect()
            try:
                if at_one_moment:
                    # Of the next transaction, which the first statement begins.
                    await connection.exec_driver_sql(_ONE_MOMENT)
                yield connection
            finally:
                await connection.close()
        elif self.engine.driver == "asyncpg":
            async with self.engine.connect() as connection:
                if at_one_moment:
                    await connection.exec_driver_sql(_ONE_MOMENT)
                await connection.exec_driver_sql(_IDLE_LIMIT)
                yield connection
        else:
            # psycopg sends statements without parameters as they are, even two: one round trip for both.
            with autocommit():
                connection = await self.engine.connect()
            try:
                await connection.exec_driver_sql(_BEGIN_AT_ONE_MOMENT if at_one_moment else _BEGIN)
                yield connection
            finally:
                await connection.close()

    async def close(self) -> None:
        """Close every connection at rest."""
        await self.watch.stop()
        await self.engine.dispose()

    async def _ask(self) -> None:
        _, arguments = self._dialect.create_connect_args(self.address.url)
        connection = await _driver_connect(self.address)(**{**arguments, **_arguments(self.address, ours=False)})
        closed = connection.close()
        if closed is not None:
            await closed

    def _connecting(self, _: SqlDialect, __: ConnectionPoolEntry, ___: Any, arguments: dict[str, Any]) -> None:
        arguments["async_creator_fn"] = self._connect

    async def _connect(self, *args: Any, **arguments: Any) -> Any:
        async with self.watch.making(CONNECT_TIMEOUT):
            driver = await _driver_connect(self.address)(*args, **arguments)
        fileno = fileno_of(driver)
        if fileno is not None and fileno >= 0:
            keep_alive(fileno)
        return driver

    def _taken(self, connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        driver = self._dialect.get_driver_connection(connection)
        self.watch.begin(driver)
        try:
            if not self._is_usable(connection, driver, record):
                raise DisconnectionError("it was closed while it was at rest")  # noqa: TRY301 - as much an end as others
            if bool(self._dialect.detect_autocommit_setting(connection)) != _autocommit.get():
                _set_autocommit(connection, _autocommit.get())
            if not _autocommit.get() and getattr(self._dialect, "is_mariadb", False):
                _limit(connection, record, _limited.get())
        except BaseException:
            self.watch.end(driver)
            raise

    def _is_usable(self, connection: Any, driver: Any, record: ConnectionPoolEntry) -> bool:
        since = record.info.get(_SINCE)
        if since is None:
            return True
        fileno = fileno_of(driver)
        if fileno is not None and (fileno < 0 or has_news(fileno)):
            return False
        if fileno is None or time.monotonic() - since > _IDLE:
            return bool(self._dialect._do_ping_w_event(connection))  # noqa: SLF001 - what pool_pre_ping does
        return True

    def _given_back(self, connection: Any, record: ConnectionPoolEntry, state: PoolResetState) -> None:
        """Roll back what is open; MySQL's drivers would send a ROLLBACK in any case."""
        if not state.asyncio_safe or state.terminate_only:
            return
        if _is_in_transaction(self._dialect.get_driver_connection(connection)):
            try:
                connection.rollback()
            except Exception as error:  # noqa: BLE001 - its server has gone; raised from here, it would be logged as a fault of ours
                record.invalidate(error)

    def _at_rest(self, connection: Any, record: ConnectionPoolEntry) -> None:
        if connection is not None:
            self.watch.end(self._dialect.get_driver_connection(connection))
            record.info[_SINCE] = time.monotonic()

    def _closing(self, connection: Any, _: ConnectionPoolEntry) -> None:
        """Let go of a connection that is dead already: aiomysql fails to say good-bye on it, and leaves it open."""
        fileno = fileno_of(self._dialect.get_driver_connection(connection))
        end = getattr(connection, "_terminate_force_close", None)
        if end is not None and fileno is not None and (fileno < 0 or has_news(fileno)):
            end()

    def _gone(self, connection: Any, *_: Any) -> None:
        if connection is not None:
            self.watch.end(self._dialect.get_driver_connection(connection))


def autocommit() -> AbstractContextManager[None]:
    """Have connections that are taken inside commit each statement by themselves."""
    return _said(_autocommit)


@contextmanager
def _said(what: ContextVar[bool]) -> Iterator[None]:
    token = what.set(True)
    try:
        yield
    finally:
        what.reset(token)


def _judge(context: ExceptionContext) -> None:
    """Have connections thrown away that are lost, also where SQLAlchemy does not know the driver's way to say so."""
    if is_lost(context.original_exception):
        context.is_disconnect = True


def _is_in_transaction(driver: Any) -> bool:
    """What the driver knows of it from the server's last answer."""
    if hasattr(driver, "get_transaction_status"):
        return bool(driver.get_transaction_status())
    if hasattr(driver, "is_in_transaction"):
        return bool(driver.is_in_transaction())
    # Of psycopg's states IDLE is 0.
    return bool(driver.info.transaction_status)


def _limit(connection: Any, record: ConnectionPoolEntry, value: bool) -> None:
    """MariaDB: a setting of the session, which is changed where sessions of others and transactions of ours take turns."""
    if record.info.get(_LIMITED, False) != value:
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION idle_transaction_timeout = {_IDLE_SECONDS if value else 0}")
        cursor.close()
        record.info[_LIMITED] = value


def _set_autocommit(connection: Any, value: bool) -> None:
    # asyncmy and aiomysql have a method here, which asks the server; psycopg and asyncpg an attribute, which does not.
    if callable(getattr(type(connection), "autocommit", None)):
        connection.autocommit(value)
    else:
        connection.autocommit = value


def _driver_connect(address: Address) -> Any:
    name = address.url.get_driver_name()
    module = importlib.import_module("psycopg" if name.startswith("psycopg") else name)
    return module.AsyncConnection.connect if name.startswith("psycopg") else module.connect


def _arguments(address: Address, *, ours: bool = True) -> dict[str, Any]:
    """What the driver is told beyond the URL: nothing that a pooler in transaction mode would mix up."""
    driver = address.url.get_driver_name()
    if driver.startswith("psycopg"):
        return {"connect_timeout": _LATER, "prepare_threshold": None}
    if driver == "asyncpg":
        unnamed = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str} if ours else {}
        return {"statement_cache_size": 0, **unnamed}
    # SQLAlchemy asks for FOUND_ROWS: rowcount is of the rows that were found, whether or not they were changed by it.
    return {"charset": "utf8mb4", "connect_timeout": _LATER, "init_command": _STRICT}
