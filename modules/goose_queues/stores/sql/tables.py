"""The stored layout: tables, indexes and the words in their columns; every operation builds its statements from here.

Times are whole microseconds since 1970 in UTC, on every database. Why the tables have this shape is told in
``docs/decisions/0003-stored-layout.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Computed,
    Float,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    literal_column,
    text,
)
from sqlalchemy.dialects.mysql import DOUBLE, LONGTEXT
from sqlalchemy.types import TypeEngine

from goose_queues.errors import ConfigError

READY: Final = "ready"
"""Due; the only state that a claim takes from."""
SCHEDULED: Final = "scheduled"
"""Due later; a claim makes it ready once its time has come."""
WAITING: Final = "waiting"
"""A later link of a chain."""
PROCESSING: Final = "processing"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

MEMBER: Final = "member"
"""The ``batch_role`` of a batch's own jobs; callbacks have ``then``, ``catch`` or ``finally``."""

FINISHED: Final = (COMPLETED, FAILED, CANCELLED)
AT_REST: Final = (SCHEDULED, WAITING, *FINISHED)
"""States in which rows pile up without being on their way: counted in a table of their own, never by walking them."""

FAR: Final[ColumnElement[int]] = literal_column(str(2**62), BigInteger)
"""A time that none reaches, unless a hand has written it: text sorts above every number."""

LONG: Final[TypeEngine[str]] = Text().with_variant(LONGTEXT(collation="utf8mb4_bin"), "mysql", "mariadb")
"""Text of any length."""
REAL: Final[TypeEngine[float]] = Float().with_variant(DOUBLE(), "mysql", "mariadb")
BUSY: Final = {
    "fillfactor": 80,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_threshold": 1_000,
    "autovacuum_analyze_scale_factor": 0.05,
    "autovacuum_analyze_threshold": 1_000,
    "autovacuum_vacuum_cost_delay": 1,
}
"""PostgreSQL's settings of the jobs table: each job leaves three dead versions of its row behind within moments."""
OPTIONS: Final[dict[str, Any]] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,31}\Z")


Family: TypeAlias = Literal["sqlite", "postgresql", "mysql"]
"""Whose SQL a database speaks; MySQL and MariaDB share theirs."""

FAMILIES: Final[dict[str, Family]] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
"""By the names that SQLAlchemy gives its dialects."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The queue's tables under one prefix, in one schema, for one kind of database."""

    prefix: str
    metadata: MetaData
    family: Family
    jobs: Table
    batches: Table
    callbacks: Table
    paused: Table
    counts: Table
    turns: Table | None
    """On servers; where there is one writer at a time, nobody has to wait for a turn."""
    layout: Table


def queue_tables(
    prefix: str = "goose_", schema: str | None = None, metadata: MetaData | None = None, *, dialect: str = "sqlite"
) -> Tables:
    """Describe the tables, in a ``metadata`` of the caller's or one of their own.

    Args:
        prefix: What their names begin with.
        schema: Where they are; None: where the connection looks first.
        metadata: Of a project that makes all its tables by Alembic versions of its own.
        dialect: ``sqlite``, ``postgresql``, ``mysql`` or ``mariadb``: the indexes differ.

    Raises:
        ConfigError: ``prefix`` or ``schema`` is no plain lower-case identifier, or the dialect is none of these.
    """
    for option, value in (("table_prefix", prefix), ("table_schema", schema)):
        if value is not None and not _PREFIX.match(value):
            raise ConfigError(f"{option}={value!r}: use lower-case letters, digits and _, at most 32, no digit first")
    family = FAMILIES.get(dialect)
    if family is None:
        raise ConfigError(f"dialect={dialect!r}: use one of {', '.join(FAMILIES)}")
    home = MetaData(schema=schema) if metadata is None else metadata
    maker = _Maker(prefix, schema, home, family)
    return Tables(
        prefix,
        home,
        family,
        maker.jobs(),
        maker.batches(),
        maker.callbacks(),
        maker.paused(),
        maker.counts(),
        None if family == "sqlite" else maker.turns(),
        maker.layout(),
    )


def key(length: int) -> TypeEngine[str]:
    """A short text that is compared and ordered by its characters' codes, whatever the language of the database."""
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(String(length, collation="utf8mb4_bin"), "mysql", "mariadb")
    )


def word(state: str) -> ColumnElement[str]:
    """A state as a literal of the statement: a partial index is only used for a condition that spells its own."""
    return literal_column(f"'{state}'", String)


NOT_DOOMED: Final[ColumnElement[int]] = literal_column("CASE WHEN doomed = 0 THEN 1 ELSE 0 END", Integer)
"""1 for a job whose attempts and failures are counted; a number by the row's own column would be what a hand made it."""


ROW_KEYS: Final = {"sqlite": "rowid", "postgresql": "ctid"}
"""A database's own key of a row: the shortest way from an index to it; good within one statement."""


def rowid(table: str, family: str) -> ColumnElement[Any]:
    """That key of a row of a table or alias; MySQL has none."""
    return literal_column(f"{table}.{ROW_KEYS[family]}", BigInteger)


LINE_RANK: Final = "CASE WHEN state = 'ready' THEN -priority ELSE 0 END"
LINE_AT: Final = (
    "CASE WHEN finished_at IS NOT NULL THEN -finished_at WHEN state IN ('ready', 'scheduled') THEN due_at ELSE 0 END"
)


def _made() -> list[Column[Any]]:
    """MySQL: what its indexes hold, made of the row, so that an entry moves only where its order does.

    They are stored: MariaDB would have to work them out again for every old entry that it takes out of an index. Falling
    orders are rising ones of negative numbers, since MariaDB has had no others before 10.8.
    """
    return [
        Column("line_rank", BigInteger, Computed(LINE_RANK, persisted=True)),
        Column("line_at", BigInteger, Computed(LINE_AT, persisted=True)),
        Column("open_chain", key(36), Computed("CASE WHEN finished_at IS NULL THEN chain_id END", persisted=True)),
        Column("member_state", key(16), Computed("CASE WHEN batch_role = 'member' THEN state END", persisted=True)),
    ]


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the tables one by one."""

    prefix: str
    schema: str | None
    metadata: MetaData
    family: Family

    def jobs(self) -> Table:
        table = self._table(
            "jobs",
            Column("id", key(36), primary_key=True),
            Column("queue", key(64), nullable=False),
            Column("state", key(16), nullable=False),
            Column("priority", Integer, nullable=False),
            Column("due_at", BigInteger, nullable=False),
            Column("name", key(255), nullable=False),
            Column("attempts", Integer, nullable=False, server_default="0"),
            Column("failures", Integer, nullable=False, server_default="0"),
            Column("deaths", Integer, nullable=False, server_default="0"),
            Column("max_retries", Integer, nullable=False),
            Column("timeout", REAL),
            Column("created_at", BigInteger, nullable=False),
            Column("started_at", BigInteger),
            Column("finished_at", BigInteger),
            # The lease. ``blameless``: the worker may die without a death for the job, which it has not started.
            Column("token", key(36)),
            Column("worker", key(64)),
            Column("lease_until", BigInteger),
            Column("blameless", SmallInteger, nullable=False, server_default="0"),
            # 1 once the job has failed for good without its handler: what is left is ``on_failure``.
            Column("doomed", SmallInteger, nullable=False, server_default="0"),
            Column("cancel_requested", SmallInteger, nullable=False, server_default="0"),
            Column("chain_id", key(36)),
            Column("position", Integer),
            # The position in its chain whose end cancelled this link; a retry over there revives it.
            Column("broken_at", Integer),
            Column("batch_id", key(36)),
            Column("batch_role", key(8)),
            Column("unique_key", key(255)),
            Column("note", LONG),
            Column("progress", LONG),
            Column("meta", LONG),
            Column("error", LONG),
            Column("result", LONG),
            Column("payload", LONG, nullable=False),
            *(_made() if self.family == "mysql" else ()),
            postgresql_with=BUSY,
        )
        c = table.c
        if self.family == "mysql":
            self._index("jobs", "line", c.state, c.queue, c.line_rank, c.line_at, c.id)
            self._index("jobs", "chain", c.chain_id, c.position)
            self._index("jobs", "link", c.open_chain)
            self._index("jobs", "batch", c.batch_id, c.member_state, c.id)
            return table
        self._partial("jobs", "ready", "state = 'ready'", c.queue, c.priority.desc(), c.due_at, c.id)
        self._partial("jobs", "scheduled", "state = 'scheduled'", c.queue, c.due_at)
        # PostgreSQL: a heartbeat moves no entry of an index, so that the new version of the row stays on its page.
        beside = () if self.family == "postgresql" else (c.lease_until,)
        self._partial("jobs", "leased", "state = 'processing'", c.queue, *beside)
        # There it also takes what finished in one moment in its order; else, with no statistics, all would be sorted.
        last = (c.id,) if self.family == "postgresql" else ()
        self._partial("jobs", "finished", "finished_at IS NOT NULL", c.queue, c.state, c.finished_at, *last)
        self._partial("jobs", "waiting", "state = 'waiting'", c.queue, c.id)
        self._partial("jobs", "chain", "chain_id IS NOT NULL", c.chain_id, c.position)
        self._partial("jobs", "link", "chain_id IS NOT NULL AND finished_at IS NULL", c.chain_id)
        self._partial("jobs", "batch", "batch_role = 'member'", c.batch_id, c.state, c.id)
        return table

    def batches(self) -> Table:
        table = self._table(
            "batches",
            Column("id", key(36), primary_key=True),
            Column("total", Integer, nullable=False),
            # Set where the batch is a link of a chain.
            Column("chain_id", key(36)),
            Column("position", Integer),
            # As a job's; only where it has no members, which keep their own.
            Column("broken_at", Integer),
            Column("created_at", BigInteger, nullable=False),
            # Written when no member is left to run, so that the members may be pruned; empty again after a retry.
            Column("finished_at", BigInteger),
            # Of all members once it is finished; after a retry, of those that have been pruned by then.
            Column("completed", Integer),
            Column("failed", Integer),
        )
        c = table.c
        self._partial("batches", "finished", "finished_at IS NOT NULL", c.finished_at)
        self._partial("batches", "chain", "chain_id IS NOT NULL", c.chain_id, c.position)
        return table

    def callbacks(self) -> Table:
        """Jobs that wait for the end of a batch; each leaves this table in the transaction that makes it a job."""
        return self._table(
            "callbacks",
            Column("batch_id", key(36), primary_key=True),
            Column("role", key(8), primary_key=True),
            Column("id", key(36), nullable=False),
            Column("queue", key(64), nullable=False),
            Column("priority", Integer, nullable=False),
            Column("name", key(255), nullable=False),
            Column("max_retries", Integer, nullable=False),
            Column("timeout", REAL),
            Column("meta", LONG),
            Column("payload", LONG, nullable=False),
        )

    def paused(self) -> Table:
        return self._table(
            "paused", Column("queue", key(64), primary_key=True), Column("since", BigInteger, nullable=False)
        )

    def counts(self) -> Table:
        """How many jobs are at rest; on servers as many rows as there were moves lately, which are added up now and then.

        One row that every transaction writes would let only one of them commit at a time.
        """
        # MySQL numbers a BIGINT that is a primary key by itself.
        identity = (Identity(),) if self.family == "postgresql" else ()
        number = Column("id", BigInteger, *identity, primary_key=True)
        return self._table(
            "counts",
            *(() if self.family == "sqlite" else (number,)),
            Column("queue", key(64), primary_key=self.family == "sqlite", nullable=False),
            Column("state", key(16), primary_key=self.family == "sqlite", nullable=False),
            Column("jobs", BigInteger, nullable=False),
        )

    def turns(self) -> Table:
        """A row for each queue with a limit across the fleet: who claims from it, or renews a lease, locks it first."""
        return self._table("turns", Column("queue", key(64), primary_key=True))

    def layout(self) -> Table:
        return self._table(
            "layout",
            Column("version", Integer, primary_key=True, autoincrement=False),
            # The oldest version of this package's layout whose code can still work with these tables.
            Column("oldest", Integer, nullable=False),
        )

    def _table(self, word: str, *columns: Any, **options: Any) -> Table:
        return Table(f"{self.prefix}{word}", self.metadata, *columns, schema=self.schema, **OPTIONS, **options)

    def _index(self, table: str, word: str, *columns: ColumnElement[Any]) -> None:
        Index(f"ix_{self.prefix}{table}_{word}", *columns)

    def _partial(self, table: str, word: str, condition: str, *columns: ColumnElement[Any]) -> None:
        """On MySQL, which has none, an index of all rows."""
        where = text(condition)
        Index(f"ix_{self.prefix}{table}_{word}", *columns, sqlite_where=where, postgresql_where=where)
