"""Where ``goose queue bench`` measures a database server: in tables of its own beside the application's, dropped at the end."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection, MetaData, Table, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from goose_queues.errors import BenchRefused, StoreUnavailable
from goose_queues.redact import one_line
from goose_queues.stores.mark import MARK, is_left_behind, new_mark, queue_prefix, raw_prefix, stem
from goose_queues.stores.sql import raw_server
from goose_queues.stores.sql.migrate import owned_tables
from goose_queues.stores.sql.tables import queue_tables
from goose_sql import Database
from goose_sql.errors import DatabaseUnavailable
from goose_sql.faults import told

T = TypeVar("T")


class ServerGround:
    """Tables that are made when it is opened, and dropped when it is closed.

    Args:
        url: Of the application's queue.
        prefix: What the names of its tables begin with.
        schema: Where they are.
    """

    def __init__(self, url: str, *, prefix: str, schema: str | None) -> None:
        mark = new_mark()
        self.url: Final = url
        self.prefix: Final = queue_prefix(prefix, mark)
        self._database: Final = Database(url, pool_size=2)
        self.shown: Final = self._database.url
        self._stem: Final = stem(prefix)
        self._schema: Final = schema
        self._tables: Final = queue_tables(raw_prefix(prefix, mark), schema, dialect=self._database.dialect)
        self._core: Final = raw_server.Statements.on(self._tables)
        self._facts: Mapping[str, str] = {}
        self._closing: Final = AsyncExitStack()
        self._usual: AsyncConnection | None = None
        self._single: AsyncConnection | None = None
        """Each of its statements is a transaction, in one round trip instead of three."""

    async def open(self) -> None:
        """Make the table that finds out the limit, and drop what benches have left that were killed a day ago or earlier.

        Raises:
            StoreUnavailable: The server does not answer.
            BenchRefused: It does not let the queue's user make tables.
        """
        with self._faults():
            await self._database.open()
            self._closing.push_async_callback(self._database.close)
            self._facts = await self._database.read(_facts)
            self._closing.push_async_callback(self._database.alter, self._drop)
            await self._database.alter(self._make)
            connect = self._database.engine.connect
            self._usual = await self._closing.enter_async_context(connect())
            self._single = await self._closing.enter_async_context(connect())
            _ = await self._single.execution_options(isolation_level="AUTOCOMMIT")

    async def close(self) -> None:
        """Drop everything; also where opening it has failed."""
        with self._faults():
            await self._closing.aclose()

    async def facts(self) -> Mapping[str, str]:
        """The server's version, and how durable a commit is."""
        return self._facts

    async def insert(self, payloads: Sequence[str], at_once: int) -> None:
        """Store rows, so many in each commit."""
        for first in range(0, len(payloads), at_once):
            stored = partial(raw_server.store, core=self._core, payloads=payloads[first : first + at_once])
            await self._run(stored, single=at_once == 1 or self._core.insert_lists is not None)

    async def settle_in(self) -> None:
        """Tell the planner what is there: a limit that sorts the backlog for each claim would be none."""
        with self._faults():
            await self._database.alter(self._analyze)

    async def drain(self, at_once: int) -> int:
        """Claim so many in one transaction, complete them in another, until none is left; how many there were."""
        drained = 0
        while ids := await self._claim(at_once, token := str(uuid.uuid4())):
            completed = partial(raw_server.complete, core=self._core, ids=ids, token=token)
            drained += await self._run(completed, single=True)
        return drained

    async def pass_one(self, payload: str) -> None:
        """Store one row and claim it: two commits."""
        await self.insert([payload], 1)
        await self._claim(1, str(uuid.uuid4()))

    async def _claim(self, at_once: int, token: str) -> list[str]:
        claimed = partial(raw_server.claim, core=self._core, count=at_once, token=token)
        return await self._run(claimed, single=self._core.take is None)

    async def _run(self, operation: Callable[[Connection], T], *, single: bool) -> T:
        connection = self._single if single else self._usual
        if connection is None:
            raise RuntimeError("it is not open")
        with self._faults():
            done = await connection.run_sync(operation)
            await connection.commit()
        return done

    def _make(self, connection: Connection) -> None:
        own = re.compile(rf"{re.escape(self._stem)}({MARK})[qr]_[a-z_]+")
        for name in inspect(connection).get_table_names(schema=self._schema):
            match = own.fullmatch(name)
            if match and is_left_behind(match[1]):
                Table(name, MetaData(), schema=self._schema).drop(connection)
        self._tables.jobs.create(connection)

    def _drop(self, connection: Connection) -> None:
        """Those of the bench's queue too, and the one that Alembic has made for their version."""
        queue = queue_tables(self.prefix, self._schema, dialect=self._database.dialect)
        Table(owned_tables(queue).version_table, queue.metadata, schema=self._schema)
        queue.metadata.drop_all(connection)
        self._tables.jobs.drop(connection, checkfirst=True)

    def _analyze(self, connection: Connection) -> None:
        name = connection.dialect.identifier_preparer.format_table(self._tables.jobs)
        is_mysql = self._tables.family == "mysql"
        connection.execute(text(f"ANALYZE TABLE {name}" if is_mysql else f"ANALYZE {name}"))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Errors of the database as the queue's own."""
        try:
            yield
        except DatabaseUnavailable as error:
            raise StoreUnavailable(error.url, error.reason) from error
        except SQLAlchemyError as error:
            reason = one_line(told(error))
            raise BenchRefused(self.shown, f"tables named {self._stem}...", reason) from error


def _facts(connection: Connection) -> dict[str, str]:
    if connection.dialect.name == "postgresql":
        version, fsync, commit = connection.execute(
            text(
                "SELECT current_setting('server_version'), current_setting('fsync'), "
                "current_setting('synchronous_commit')"
            )
        ).one()
        return {"server": f"PostgreSQL {version}", "fsync": fsync, "synchronous_commit": commit}
    version, flush, binlog = connection.execute(
        text("SELECT version(), @@innodb_flush_log_at_trx_commit, @@sync_binlog")
    ).one()
    kind = "MariaDB" if getattr(connection.dialect, "is_mariadb", False) else "MySQL"
    durable = {"innodb_flush_log_at_trx_commit": str(flush), "sync_binlog": str(binlog)}
    return {"server": f"{kind} {version}", **durable}
