"""Database: one place for data, and every way to work with it. The seam between SQL code and the ways to run it.

Made by ``module`` for an application and by the queue for its own URL. Nothing here needs the kernel.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, Self, TypeVar

from sqlalchemy import text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from goose.scope import Scope
from goose_sql.calls import Operation
from goose_sql.errors import BadUrl, DatabaseClosed, SmallPool
from goose_sql.on_server import OnServer
from goose_sql.on_sqlite import OnSqlite
from goose_sql.readers import ChangeCounter
from goose_sql.sessions import open_session, open_transaction, session_of_scope
from goose_sql.sqlite import Synchronous
from goose_sql.urls import Address, Dialect, address_of, place_of

T = TypeVar("T")

BUSY_TIMEOUT: Final = 30.0
POOL_SIZE: Final = 10
SMALLEST_POOL: Final = 2


class Backend(Protocol):
    """One opening of a database, in the way of its dialect."""

    @property
    def address(self) -> Address:
        """Where it is; of a private file, where it is this time."""
        ...

    @property
    def engine(self) -> AsyncEngine:
        """The engine of its sessions."""
        ...

    async def open(self) -> None:
        """Connect."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then let go of everything."""
        ...

    async def write(self, operation: Operation[T], *, urgent: bool, single: bool) -> T:
        """Run one transaction, durable on return."""
        ...

    def write_blocking(self, operation: Operation[T], *, urgent: bool, timeout: float | None) -> T:
        """The same from a thread."""
        ...

    async def read(self, operation: Operation[T], *, single: bool) -> T:
        """Run an operation that only reads."""
        ...

    async def alter(self, operation: Operation[T]) -> T:
        """Run a change of the layout, under a lock that keeps others from doing so."""
        ...

    def change_counter(self) -> ChangeCounter:
        """A counter of commits, on SQLite."""
        ...


class Database:
    """A database, opened and closed as often as one likes; ``async with`` does both.

    Args:
        url: ``sqlite:///file.db``, ``sqlite://`` (a private temporary file), ``postgresql://``, ``mysql://`` or
            ``mariadb://``; the driver is chosen unless the URL names one.
        synchronous: SQLite: ``"full"`` (a commit survives a power cut) or ``"normal"`` (it survives a crash of the
            process, and much less waiting for the disk).
        busy_timeout: SQLite: seconds to wait for the write lock.
        pool_size: Connections at most. A server's budget in each process is these, at least 2, and one more for
            ``write_blocking`` once that is used; changing the layout takes one for as long as it lasts. SQLite: those
            that are kept for sessions.
        echo: Log every statement.

    Raises:
        BadUrl: The URL cannot be used.
        MissingDriver: Its driver is not installed.
        SmallPool: The pool is too small for a server.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        synchronous: Synchronous = "full",
        busy_timeout: float = BUSY_TIMEOUT,
        pool_size: int = POOL_SIZE,
        echo: bool = False,
    ) -> None:
        self._address: Final = address_of(url)
        self._synchronous: Final[Synchronous] = synchronous
        self._busy_timeout: Final = busy_timeout
        self._pool_size: Final = pool_size
        self._echo: Final = echo
        if self.dialect != "sqlite" and pool_size < SMALLEST_POOL:
            raise SmallPool(self.url, pool_size, SMALLEST_POOL)
        self._backend: Backend | None = None

    @property
    def url(self) -> str:
        """The URL as it may be shown: its password is masked."""
        return str(self._address)

    @property
    def dialect(self) -> Dialect:
        """What kind of database it is."""
        return self._address.dialect

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's engine.

        Raises:
            DatabaseClosed: It is not open.
        """
        return self._open.engine

    @property
    def is_private(self) -> bool:
        """Whether it is a temporary SQLite file, which no other process can open."""
        return self._address.is_private

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed since."""
        return self._backend is not None

    def same_place(self, url: str | URL) -> bool:
        """Whether a URL leads to this database's data, by whatever driver.

        A private SQLite file has a place while it is open. Servers are compared by host, port and database: another name
        of the same host, or a pooler in front of it, is another place.
        """
        here = self._address if self._backend is None else self._backend.address
        try:
            return here.same_place(place_of(url))
        except BadUrl:
            return False

    async def open(self) -> None:
        """Connect; idempotent.

        Raises:
            DatabaseUnavailable: It does not answer, cannot be opened, or is not a database.
            UnsupportedDatabase: It is too old.
        """
        if self._backend is None:
            backend = self._new_backend()
            try:
                await backend.open()
            except BaseException:
                await backend.close()
                raise
            self._backend = backend

    async def close(self) -> None:
        """Finish what is queued and let go of every connection and thread; idempotent. A private file is deleted."""
        backend, self._backend = self._backend, None
        if backend is not None:
            await backend.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def check(self) -> None:
        """Return when the database answers.

        Raises:
            DatabaseClosed: It is not open.
            DatabaseUnavailable: It does not answer.
        """
        await self.read(_touch, single=True)

    def session(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session for scripts and tests: ``async with database.session() as session, session.begin(): ...``."""
        return open_session(self.engine)

    def session_of(self, scope: Scope) -> AsyncSession:
        """The session of a request or job attempt: its transaction is committed or rolled back with the scope."""
        return session_of_scope(self.engine, scope)

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """One transaction on a connection: committed at the end, rolled back on an error."""
        return open_transaction(self.engine)

    async def write(self, operation: Operation[T], *, urgent: bool = False, single: bool = False) -> T:
        """Run a plain function of a ``Connection`` as one whole transaction; durable on return.

        On SQLite it runs on the file's writer thread, one commit for everything that waits at that moment, and
        ``connection.connection.driver_connection`` is the standard library's connection, in the same transaction.
        On servers it may run more than once: after a deadlock or another conflict, up to five times more, and after the
        connection turned out to be dead; what it did before was rolled back then.
        When the awaiting task is cancelled, the operation has happened wholly or not at all; one that does not end
        within two seconds then is torn off.

        Args:
            operation: Returns to have its changes kept, raises to have them undone. It must not keep the connection.
            urgent: SQLite: goes to the front of the line.
            single: The operation executes exactly one statement: a server commits it by itself, in one round trip
                instead of three (MySQL: two). Of more statements, each would be committed alone.

        Raises:
            DatabaseClosed: It is not open.
            DatabaseBusy: The write lock was not free in time.
            DatabaseUnavailable: It does not answer.
            CommitInDoubt: It stopped answering during the commit, so that it is not known whether it has happened.
        """
        return await self._open.write(operation, urgent=urgent, single=single)

    def write_blocking(self, operation: Operation[T], *, urgent: bool = False, timeout: float | None = None) -> T:
        """``write`` for threads other than an event loop's; it needs no event loop to go on meanwhile.

        On servers all these calls share one connection, which is made by the first of them.

        Args:
            operation: As in ``write``.
            urgent: As in ``write``.
            timeout: Seconds. On SQLite, ``DatabaseBusy`` is raised if the operation has not begun by then; on servers,
                ``DatabaseUnavailable`` if it has not ended by then: it is given up with its connection.

        Raises:
            RuntimeError: Called where an event loop runs, which it would block.
        """
        if _in_a_loop():
            raise RuntimeError("write_blocking() would block the event loop here: await write() instead.")
        return self._open.write_blocking(operation, urgent=urgent, timeout=timeout)

    async def read(self, operation: Operation[T], *, single: bool = False) -> T:
        """Run a function of a ``Connection`` that only reads; it never waits for a writer.

        All its statements see one moment of the database. It returns values, not open results. On servers it runs once
        more when the connection turns out to be dead.

        Args:
            operation: As in ``write``.
            single: The operation executes exactly one statement: a server answers in one round trip.
        """
        return await self._open.read(operation, single=single)

    async def alter(self, operation: Operation[T]) -> T:
        """Run a function that changes tables, as one transaction, one process at a time.

        On SQLite foreign keys are not enforced while it runs, as a table that is made anew would take along what refers
        to it; they are checked before the commit.

        Raises:
            MigrationFailed: It left rows that refer to nothing.
        """
        return await self._open.alter(operation)

    def change_counter(self) -> ChangeCounter:
        """SQLite: ask it whether anything was committed to the file, by any process, since it was asked last.

        Raises:
            SqliteOnly: On a server.
        """
        return self._open.change_counter()

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    @property
    def _open(self) -> Backend:
        if self._backend is None:
            raise DatabaseClosed(self.url)
        return self._backend

    def _new_backend(self) -> Backend:
        if self.dialect != "sqlite":
            return OnServer(self._address, pool_size=self._pool_size, echo=self._echo)
        return OnSqlite(
            self._address,
            synchronous=self._synchronous,
            busy_timeout=self._busy_timeout,
            pool_size=self._pool_size,
            echo=self._echo,
        )


def _touch(connection: Connection) -> None:
    table = " FROM sqlite_master LIMIT 1" if connection.dialect.name == "sqlite" else ""
    connection.execute(text(f"SELECT 1{table}"))


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
