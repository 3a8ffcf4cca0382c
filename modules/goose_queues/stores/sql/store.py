"""SqlStore: the queue's store on a SQL database, which is a ``goose_sql.Database``.

Made by ``module``. Every method hands one plain function of this folder to the database, as one transaction, or to a
transaction that the caller has open.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection, Dialect, make_url
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError, ProgrammingError

from goose_queues.clock import Clock
from goose_queues.errors import ConfigError, ForeignSession, JobExists, LayoutMismatch, StoreUnavailable, WouldDeadlock
from goose_queues.record import (
    BatchProgress,
    CancelRequest,
    Claim,
    Claimed,
    JobFilter,
    JobRecord,
    NewBatch,
    NewJob,
    Page,
    Pruned,
    Purged,
    QueueStats,
    Rescued,
    Settlement,
)
from goose_queues.redact import one_line
from goose_queues.stores.gathering import Gathering
from goose_queues.stores.outgoing import Outgoing
from goose_queues.stores.sessions import as_session, url_of
from goose_queues.stores.sql import counts, migrate, pause, rights, steer
from goose_queues.stores.sql.claim import can_claim_at_once, claim_at_once
from goose_queues.stores.sql.claim import claim as take
from goose_queues.stores.sql.insert import insert, is_one_statement
from goose_queues.stores.sql.lease import extend, is_any_expired, rescue
from goose_queues.stores.sql.listing import page
from goose_queues.stores.sql.prune import BATCHES, find_old, prune, prune_batches
from goose_queues.stores.sql.purge import purge
from goose_queues.stores.sql.read import batch, get, stats, touch
from goose_queues.stores.sql.servertime import ServerTime
from goose_queues.stores.sql.settle import can_settle_at_once, settle, settle_at_once
from goose_queues.stores.sql.starts import Starts
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.tables import queue_tables
from goose_queues.stores.sql.unreadable import read, write
from goose_queues.stores.sql.vacuum import VacuumWatch
from goose_queues.stores.sql.version import VERSION, version_of
from goose_queues.stores.sql.wakeup import Wakeup
from goose_sql import Database, Unit, open_units, unit_of
from goose_sql.errors import CommitInDoubt, DatabaseClosed, DatabaseUnavailable
from goose_sql.faults import told
from goose_sql.urls import address_of

log = logging.getLogger("goose_queues.store")

T = TypeVar("T")

_NOWHERE: Final[frozenset[str]] = frozenset()
"""No queue has news, no job is meant."""


class SqlStore:
    """The ``Store`` protocol over a ``Database``.

    What user code asks for is a part of the transaction in which its task writes already, where there is one on this
    database: it would wait for ever for a write lock that it holds itself.

    Args:
        database: Where the jobs are.
        clock: Its offset is added to the database's own time.
        owns_database: Whether the store opens and closes the database, or somebody else does.
        auto_migrate: Make and upgrade the tables when the store is opened, instead of refusing.
        prefix: What the names of the tables begin with.
        schema: Where the tables are; None: where a connection looks first.
        poll_interval: How often each worker claims without having been told, in seconds.
        listen_url: PostgreSQL: where to listen for notifications, if the database's URL leads through a pooler.

    Raises:
        ConfigError: ``prefix`` or ``schema`` is no identifier, or the database has no schemas.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        owns_database: bool,
        auto_migrate: bool,
        prefix: str = "goose_",
        schema: str | None = None,
        poll_interval: float = 5.0,
        listen_url: str | None = None,
    ) -> None:
        self._database = database
        self._owns_database = owns_database
        self._auto_migrate = auto_migrate
        dialect = _dialect(database)
        if schema is not None and dialect.name == "sqlite":
            raise ConfigError(f"table_schema={schema!r}: SQLite has no schemas; use table_prefix, or a file of its own")
        self._layout = Layout(queue_tables(prefix, schema, dialect=dialect.name), dialect)
        self._time = ServerTime(database, self._layout, clock)
        self._now = self._time.now
        listen = None if listen_url is None else address_of(listen_url).url
        self._wakeup = Wakeup(database, self._layout, self._now, poll_interval=poll_interval, listen_url=listen)
        self._gathering = Gathering(self._store)
        self._outgoing = Outgoing(self.insert)
        self._vacuum = VacuumWatch(database, self._layout)
        self._starts = Starts(database, self._layout, self._wakeup.tell)

    async def open(self) -> None:
        """Connect, make the tables where they are missing and that is wanted, and watch for news.

        Raises:
            StoreUnavailable: The database does not answer, or does not let this process write.
            LayoutMismatch: The tables are missing, too old or too new.
        """
        with self._faults():
            if self._owns_database:
                await self._database.open()
            try:
                await self._check_layout()
                await self._check_rights()
                await self._time.open()
            except BaseException:
                if self._owns_database:
                    await self._database.close()
                raise
        self._wakeup.open()

    async def close(self) -> None:
        """Send what still waits for being sent, and let go of everything."""
        await self._outgoing.sent()
        await self._gathering.stored()
        await self._starts.close()
        await self._wakeup.close()
        await self._time.close()
        if self._owns_database:
            await self._database.close()

    async def check(self) -> None:
        """Return when the database answers and has the queue's tables."""
        with self._faults():
            await read(self._database, lambda it: touch(it, self._layout))

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Tell ``listener`` of queues that may have something new; return what ends that."""
        return self._wakeup.subscribe(listener)

    def joinable(self) -> Unit | None:
        """The innermost open transaction on the queue's database, else the innermost on another."""
        open_ones = [unit for unit in reversed(open_units()) if unit.in_transaction]
        return next((unit for unit in open_ones if unit.is_on(self._database)), open_ones[0] if open_ones else None)

    def join(self, session: object) -> Unit | None:
        """The transaction of a session that the caller names; None stands for none at all.

        Raises:
            TypeError: It is no session and no connection.
            ForeignSession: Its data is in another database.
            WouldDeadlock: None, by a task that holds the write lock itself.
        """
        if session is None:
            self._refuse_own_lock()
            return None
        named = as_session(session)
        unit = unit_of(named)
        if not unit.is_on(self._database):
            raise ForeignSession(url_of(named), self._database.url)
        return unit

    async def insert(
        self, jobs: Sequence[NewJob], *, batches: Sequence[NewBatch] = (), within: object | None = None
    ) -> None:
        """Store all of it or nothing, in a transaction of its own or as a part of ``within``."""
        if not isinstance(within, Unit):
            if self._layout.family == "sqlite":
                # Its writer lets what waits share a commit.
                await self._store(jobs, batches)
            else:
                await self._gathering.insert(jobs, batches)
        elif within.is_on(self._database):
            with self._faults():
                queues = await within.run(partial(self._insert, jobs, batches))
            within.after_commit(partial(self._wakeup.tell, queues))
        else:
            self._outgoing.after_commit_of(within, jobs, batches)

    def insert_blocking(self, jobs: Sequence[NewJob], *, batches: Sequence[NewBatch] = (), within: object) -> None:
        """Store all of it or nothing as a part of a transaction of blocking code, in its own thread."""
        if not isinstance(within, Unit):
            raise TypeError(f"insert_blocking() takes what join() has returned, not {type(within).__name__}")
        with self._faults():
            queues = within.run_blocking(partial(self._insert, jobs, batches))
        within.after_commit(partial(self._wakeup.tell, queues))

    async def claim(self, claim: Claim) -> Claimed:
        """Take due jobs of one queue under new leases."""
        self._wakeup.claims(claim.queue)
        with self._faults():
            line = self._starts.line(claim)
            claimed = None
            if line is not None and can_claim_at_once(claim):
                at_once = partial(claim_at_once, layout=self._layout, request=claim, line=line)
                claimed = await write(self._database, lambda it: at_once(it, now=self._now()), single=True)
            if claimed is None:
                claimed = await write(self._database, lambda it: take(it, self._layout, self._now(), claim, line))
        self._starts.watch(line)
        return claimed

    def extend(
        self,
        tokens: Mapping[str, str],
        lease: float,
        *,
        blameless: frozenset[str] = frozenset(),
        limited: frozenset[str] = frozenset(),
    ) -> frozenset[str]:
        """Renew leases, before whatever else waits to be written."""
        if not tokens:
            return frozenset()

        def operation(connection: Connection) -> frozenset[str]:
            return extend(connection, self._layout, self._now(), tokens, lease, blameless, limited)

        with self._faults():
            return self._database.write_blocking(operation, urgent=True, timeout=lease)

    async def settle(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        """Write outcomes in one transaction."""
        if not settlements:
            return frozenset()
        single = can_settle_at_once(self._layout, settlements)
        operation = settle_at_once if single else settle
        with self._faults():
            settled = await write(
                self._database, lambda it: operation(it, self._layout, self._now(), settlements), single=single
            )
        self._wakeup.tell(settled.queues)
        return settled.lost

    async def rescue(self, limit: int, max_deaths: int) -> Rescued:
        """Give jobs of dead workers back."""
        with self._faults():
            await self._fold_counts()
            await self._vacuum.look()
            if not await self._is_any_expired():
                return Rescued(0, 0, _NOWHERE)
            rescued = await write(self._database, lambda it: rescue(it, self._layout, self._now(), limit, max_deaths))
        self._wakeup.tell(rescued.queues)
        return rescued

    async def renew(self, job_id: str, token: str, lease: float, *, limited: bool = False) -> bool:
        """Renew one lease; whether it still held."""
        strict = frozenset({job_id}) if limited else _NOWHERE

        def operation(connection: Connection) -> frozenset[str]:
            return extend(connection, self._layout, self._now(), {job_id: token}, lease, limited=strict)

        return not await self._write(operation, lambda _: _NOWHERE)

    async def progress(self, job_id: str, token: str, progress: str) -> bool:
        """Keep what a running attempt tells of itself."""
        return await self._write(
            lambda it: steer.note_progress(it, self._layout, job_id, token, progress), lambda _: _NOWHERE
        )

    async def prune(self, retention: float, limit: int, cursor: str | None = None) -> Pruned:
        """Delete a chunk of old jobs; with the last one, old batches too, and look whether the counts are still right."""
        with self._faults():
            now = self._now()
            chunk = await read(self._database, lambda it: find_old(it, self._layout, now, retention, limit, cursor))
            deleted = 0
            if chunk.ids:
                deleted = await write(self._database, lambda it: prune(it, self._layout, now, retention, chunk))
            if chunk.cursor is None:
                batches = await write(self._database, lambda it: prune_batches(it, self._layout, now, retention, limit))
                if batches == limit:
                    return Pruned(deleted, BATCHES)
                await self._correct_counts()
        return Pruned(deleted, chunk.cursor)

    async def cancel(self, job_id: str, reason: str) -> None:
        """End a pending job, or ask the worker of a running one."""
        await self._write(lambda it: steer.cancel(it, self._layout, self._now(), job_id, reason), lambda queues: queues)

    async def cancel_requests(self) -> Sequence[CancelRequest]:
        """What was asked of the workers."""
        with self._faults():
            return await read(self._database, lambda it: steer.cancel_requests(it, self._layout), single=True)

    async def retry(self, job_id: str) -> None:
        """Put a failed or cancelled job back."""
        await self._write(lambda it: steer.retry(it, self._layout, self._now(), job_id), lambda queues: queues)

    async def pause(self, queue: str) -> None:
        """Let no claim take anything from a queue."""
        await self._write(lambda it: pause.pause(it, self._layout, self._now(), queue), lambda _: _NOWHERE)

    async def resume(self, queue: str) -> None:
        """The end of ``pause``."""
        await self._write(lambda it: pause.resume(it, self._layout, queue), lambda _: frozenset({queue}))

    async def purge(self, queue: str, limit: int, cursor: str | None = None) -> Purged:
        """Delete what is pending in a queue."""
        chunk = await self._write(
            lambda it: purge(it, self._layout, self._now(), queue, limit, cursor), lambda chunk: chunk.queues
        )
        return chunk.purged

    async def get(self, job_id: str) -> JobRecord | None:
        """One job, whole."""
        with self._faults():
            return await read(self._database, lambda it: get(it, self._layout, job_id), single=True)

    async def stats(self) -> Mapping[str, QueueStats]:
        """Counts of every queue."""
        with self._faults():
            return await read(self._database, lambda it: stats(it, self._layout, self._now()))

    async def jobs(self, wanted: JobFilter, limit: int, cursor: str | None = None) -> Page:
        """A page of a listing."""
        with self._faults():
            return await read(self._database, lambda it: page(it, self._layout, wanted, limit, cursor))

    async def batch(self, batch_id: str) -> BatchProgress | None:
        """How far a batch is."""
        with self._faults():
            return await read(self._database, lambda it: batch(it, self._layout, batch_id))

    async def _store(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch]) -> None:
        """Store all of it or nothing in a transaction of its own.

        A connection that breaks leaves the commit in doubt. The ids are new: where they are there at a second try, the
        first has come through.
        """
        operation, single = partial(self._insert, jobs, batches), is_one_statement(jobs, batches)
        with self._faults():
            try:
                queues = await write(self._database, operation, single=single)
            except CommitInDoubt:
                try:
                    queues = await write(self._database, operation, single=single)
                except JobExists:
                    queues = frozenset(job.queue for job in jobs)
        self._wakeup.tell(queues)

    def _insert(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch], connection: Connection) -> frozenset[str]:
        try:
            return insert(connection, self._layout, self._now(), jobs, batches)
        except (sqlite3.IntegrityError, IntegrityError) as error:
            raise JobExists(self._database.url) from error

    async def _write(self, operation: Callable[[Connection], T], news: Callable[[T], frozenset[str]]) -> T:
        """Do what user code asks for; once it is committed tell the workers of the queues that have ``news``."""
        unit = next((unit for unit in self._own_locks() if not unit.is_sync), None)
        with self._faults():
            done = await (write(self._database, operation) if unit is None else unit.run(operation))
        if unit is None:
            self._wakeup.tell(news(done))
        else:
            unit.after_commit(partial(self._wakeup.tell, news(done)))
        return done

    async def _check_layout(self) -> None:
        found = await read(self._database, lambda it: version_of(it, self._layout.tables))
        if self._auto_migrate and (found is None or not found.is_current):
            await migrate.upgrade(self._database, self._layout.tables)
            found = await read(self._database, lambda it: version_of(it, self._layout.tables))
        if found is None:
            raise LayoutMismatch(self._database.url, None, VERSION)
        if not found.is_workable:
            layout = self._layout.tables.layout.fullname
            raise LayoutMismatch(self._database.url, found.number, VERSION, found.oldest, layout)

    async def _check_rights(self) -> None:
        if self._layout.family != "sqlite":
            await read(self._database, lambda it: rights.use(it, self._layout.tables))

    async def _is_any_expired(self) -> bool:
        """On servers this asks first, without locking what others are about to settle."""
        if self._layout.family == "sqlite":
            return True
        return await read(self._database, lambda it: is_any_expired(it, self._layout, self._now()), single=True)

    async def _fold_counts(self) -> None:
        if self._layout.family != "sqlite":
            while await write(self._database, lambda it: counts.fold(it, self._layout)):
                continue

    async def _correct_counts(self) -> None:
        drift = await read(self._database, lambda it: counts.drift(it, self._layout))
        if drift:
            moves = {one_line(f"{queue} {state}"): jobs for (queue, state), jobs in drift.items()}
            log.warning("The jobs table was changed from outside: counts corrected", extra={"moves": moves})
            await write(self._database, lambda it: counts.apply(it, self._layout, drift))

    def _refuse_own_lock(self) -> None:
        if any(self._own_locks()):
            raise WouldDeadlock(self._database.url)

    def _own_locks(self) -> Iterator[Unit]:
        """The transactions in which the current task holds the write lock itself: on SQLite at most one."""
        return (unit for unit in open_units() if unit.is_on(self._database) and unit.holds_write_lock)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Errors of the database as the queue's own."""
        try:
            yield
        except DatabaseUnavailable as error:
            raise StoreUnavailable(error.url, error.reason) from error
        except DatabaseClosed as error:
            raise StoreUnavailable(self._database.url, "it is not open.") from error
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(self._database.url, f"{one_line(str(error))}.") from error
        except (OperationalError, ProgrammingError, InternalError) as error:
            # Without the statement and its parameters, which may be anything.
            raise StoreUnavailable(self._database.url, one_line(told(error))) from error


def _dialect(database: Database) -> Dialect:
    if database.dialect == "sqlite":
        return SQLiteDialect_pysqlite()
    return make_url(database.url).get_dialect()()
