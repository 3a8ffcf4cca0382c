"""Units: transactions that somebody has open, so that others can join them or wait for their commit.

A queue's dispatch asks ``open_units`` what it belongs to; ``unit_of`` answers for a session that the caller names.
``sessions`` and ``database`` say which ones are open.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from goose.scope import Scope, current_scope
from goose_sql.commits import after_commit_of
from goose_sql.errors import WrongColour
from goose_sql.joining import join_async, join_here

log = logging.getLogger("goose_sql")

T = TypeVar("T")

Subject: TypeAlias = AsyncSession | Session | AsyncConnection | Connection

_INFO: Final = "goose_sql.unit"

_here: ContextVar[tuple[Unit, ...]] = ContextVar("goose_sql_units", default=())
_of_scopes: dict[Scope, list[Unit]] = {}
_of_connections: weakref.WeakKeyDictionary[Any, Unit] = weakref.WeakKeyDictionary()


class Place(Protocol):
    """What a unit can be asked to be on: a ``Database``."""

    def same_place(self, url: str | URL) -> bool:
        """Whether a URL leads to its data."""
        ...


def open_units() -> tuple[Unit, ...]:
    """The units that are open where this is called: those of the scope, then those of the task, innermost last."""
    scope = current_scope()
    units = _here.get()
    if scope is None:
        return units
    return (*_of_scopes.get(scope, ()), *units)


def unit_of(subject: Subject) -> Unit:
    """The one unit of a session or connection.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(subject, AsyncSession | Session):
        unit: Unit | None = subject.info.get(_INFO)
        if unit is None:
            unit = subject.info[_INFO] = Unit(subject)
            _watch_session(subject.sync_session if isinstance(subject, AsyncSession) else subject)
        return unit
    if isinstance(subject, AsyncConnection | Connection):
        unit = _of_connections.get(subject)
        if unit is None:
            unit = _of_connections[subject] = Unit(weakref.ref(subject))
        return unit
    raise TypeError(
        f"{type(subject).__name__} is no transaction: "
        "pass an AsyncSession, a Session, an AsyncConnection or a Connection."
    )


class Unit:
    """A transaction that somebody has open."""

    __slots__ = ("__weakref__", "_after_commit", "_committed", "_connection", "_following", "_lock", "_subject")

    def __init__(self, subject: AsyncSession | Session | weakref.ref[Any]) -> None:
        self._subject = subject
        self._lock: asyncio.Lock | None = None
        self._connection: weakref.ref[Connection] | None = None
        """Of a session: the connection on which its transaction runs, from its first statement on."""
        self._committed = False
        self._after_commit: list[Callable[[], None]] = []
        self._following: list[asyncio.Future[Any]] = []

    @property
    def subject(self) -> Subject:
        """The session or connection itself."""
        if not isinstance(self._subject, weakref.ref):
            return self._subject
        subject: Subject | None = self._subject()
        if subject is None:
            raise ReferenceError("The connection of this transaction is gone.")
        return subject

    @property
    def is_sync(self) -> bool:
        """Whether it belongs to blocking code, so that operations run in place."""
        return isinstance(self.subject, Session | Connection)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun; a session begins with its first use."""
        return bool(self.subject.in_transaction())

    @property
    def holds_write_lock(self) -> bool:
        """SQLite: whether it has begun to write, so that nobody else can until it ends. Never on servers."""
        connection = self._current_connection()
        if connection is None or connection.dialect.name != "sqlite" or connection.closed or connection.invalidated:
            return False
        driver = connection.connection.driver_connection
        try:
            return driver is not None and bool(driver.in_transaction)
        except ValueError:
            # aiosqlite says so of a connection that was closed.
            return False

    def is_on(self, database: Place) -> bool:
        """Whether its data is in this database."""
        url = self._url()
        return url is not None and database.same_place(url)

    async def run(self, operation: Callable[[Connection], T]) -> T:
        """Run an operation as a part of the transaction: all of it or, where it raises, nothing of it.

        Operations of one unit take turns. On SQLite the operation sees the driver's own connection, as in
        ``Database.write``.

        Raises:
            WrongColour: The unit belongs to blocking code.
        """
        subject = self.subject
        if not isinstance(subject, AsyncSession | AsyncConnection):
            raise WrongColour(f"{type(subject).__name__} is blocking", "end the sentence with .send().")
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            connection = await subject.connection() if isinstance(subject, AsyncSession) else subject
            self._see(connection.sync_connection)
            return await join_async(connection, operation)

    def run_blocking(self, operation: Callable[[Connection], T]) -> T:
        """The same in place, in the thread of the session's own code.

        Raises:
            WrongColour: The unit belongs to async code.
        """
        subject = self.subject
        if not isinstance(subject, Session | Connection):
            raise WrongColour(f"{type(subject).__name__} is async", "await it.")
        connection = subject.connection() if isinstance(subject, Session) else subject
        self._see(connection)
        return join_here(connection, operation)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once after the next commit of the whole transaction; dropped on a rollback.

        The release of a SAVEPOINT is no commit. What the callback raises is logged.
        """
        connection = self._root_connection()
        if connection is not None:
            after_commit_of(connection, callback)
        else:
            self._after_commit.append(callback)

    def follow(self, work: asyncio.Future[Any]) -> None:
        """Have whoever ends this unit wait for some work that its commit has begun, whatever comes of that."""
        self._following.append(work)

    async def followed(self) -> None:
        """Wait for all such work."""
        following, self._following = self._following, []
        if following:
            await asyncio.wait(following)

    def _see(self, connection: Connection | None) -> None:
        self._connection = weakref.ref(connection) if connection is not None else None

    def _current_connection(self) -> Connection | None:
        subject = self.subject
        if isinstance(subject, AsyncConnection):
            return subject.sync_connection
        if isinstance(subject, Connection):
            return subject
        return self._connection() if self._connection is not None else None

    def _root_connection(self) -> Connection | None:
        """The connection whose commit is the real one; None where it is the session's own."""
        subject = self.subject
        if isinstance(subject, AsyncSession | Session):
            session = subject.sync_session if isinstance(subject, AsyncSession) else subject
            return session.bind if isinstance(session.bind, Connection) else None
        return subject.sync_connection if isinstance(subject, AsyncConnection) else subject

    def _url(self) -> URL | None:
        subject = self.subject
        if isinstance(subject, AsyncSession | Session):
            session = subject.sync_session if isinstance(subject, AsyncSession) else subject
            try:
                return session.get_bind().engine.url
            except UnboundExecutionError:
                return None
        return subject.engine.url

    def _began(self, connection: Connection) -> None:
        self._see(connection)

    def _committed_one(self, session: Session) -> None:
        # SQLAlchemy says after_commit of a released SAVEPOINT too, while it is still the innermost transaction.
        self._committed = not session.in_nested_transaction()

    def _ended(self) -> None:
        callbacks, self._after_commit = self._after_commit, []
        committed, self._committed = self._committed, False
        self._connection = None
        for callback in callbacks if committed else ():
            try:
                callback()
            except Exception:
                log.exception("A callback failed that waited for a commit")


@contextmanager
def opened_here(unit: Unit) -> Iterator[Unit]:
    """Have a unit count as open in the task around, and in those that it starts."""
    token = _here.set((*_here.get(), unit))
    try:
        yield unit
    finally:
        _here.reset(token)


def open_in_scope(unit: Unit, scope: Scope) -> Callable[[], None]:
    """Have a unit count as open in a whole scope, its child tasks and threads; return what ends that."""
    units = _of_scopes.setdefault(scope, [])
    units.append(unit)

    def close() -> None:
        units.remove(unit)
        if not units:
            _of_scopes.pop(scope, None)

    return close


class UnitSession(Session):
    """The session inside every ``AsyncSession`` of a ``Database``: what ends and begins in it is heard of."""


def _after_begin(session: Session, _: SessionTransaction, connection: Connection) -> None:
    unit: Unit | None = session.info.get(_INFO)
    if unit is not None:
        unit._began(connection)  # noqa: SLF001 - one concept, in one file


def _after_commit(session: Session) -> None:
    unit: Unit | None = session.info.get(_INFO)
    if unit is not None:
        unit._committed_one(session)  # noqa: SLF001


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    unit: Unit | None = session.info.get(_INFO)
    if unit is not None and transaction.parent is None:
        unit._ended()  # noqa: SLF001


def _watch_session(session: Session) -> None:
    if not isinstance(session, UnitSession):
        _listen(session)


def _listen(target: Session | type[Session]) -> None:
    event.listen(target, "after_begin", _after_begin)
    event.listen(target, "after_commit", _after_commit)
    event.listen(target, "after_transaction_end", _after_transaction_end)


_listen(UnitSession)
