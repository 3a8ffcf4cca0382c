"""The stored layout: tables, indexes and the words in their columns; every operation builds its statements from here.

Times are whole microseconds since 1970 in UTC, on every database. Why the tables have this shape is told in
``docs/decisions/0003-stored-layout.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
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

_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,31}\Z")


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The queue's tables under one prefix, in one schema."""

    prefix: str
    metadata: MetaData
    jobs: Table
    batches: Table
    callbacks: Table
    paused: Table
    counts: Table
    layout: Table


def queue_tables(prefix: str = "goose_", schema: str | None = None, metadata: MetaData | None = None) -> Tables:
    """Describe the tables, in a ``metadata`` of the caller's or one of their own.

    Raises:
        ConfigError: ``prefix`` or ``schema`` is no plain lower-case identifier.
    """
    for option, value in (("prefix", prefix), ("schema", schema)):
        if value is not None and not _PREFIX.match(value):
            raise ConfigError(f"{option}={value!r}: use lower-case letters, digits and _, at most 32, no digit first")
    home = MetaData(schema=schema) if metadata is None else metadata
    return Tables(prefix, home, *(make(prefix, schema, home) for make in _MAKERS))


def word(state: str) -> ColumnElement[str]:
    """A state as a literal of the statement: a partial index is only used for a condition that spells its own."""
    return literal_column(f"'{state}'", String)


NOT_DOOMED: Final[ColumnElement[int]] = literal_column("CASE WHEN doomed = 0 THEN 1 ELSE 0 END", Integer)
"""1 for a job whose attempts and failures are counted; a number by the row's own column would be what a hand made it."""


def rowid(table: str) -> ColumnElement[int]:
    """SQLite's own key of a row of a table or alias: the shortest way from an index to it; good within one statement."""
    return literal_column(f"{table}.rowid", BigInteger)


def _jobs(prefix: str, schema: str | None, metadata: MetaData) -> Table:
    table = Table(
        f"{prefix}jobs",
        metadata,
        Column("id", String(36), primary_key=True),
        Column("queue", String(64), nullable=False),
        Column("state", String(16), nullable=False),
        Column("priority", Integer, nullable=False),
        Column("due_at", BigInteger, nullable=False),
        Column("name", String(255), nullable=False),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("failures", Integer, nullable=False, server_default="0"),
        Column("deaths", Integer, nullable=False, server_default="0"),
        Column("max_retries", Integer, nullable=False),
        Column("timeout", Float),
        Column("created_at", BigInteger, nullable=False),
        Column("started_at", BigInteger),
        Column("finished_at", BigInteger),
        # The lease. ``blameless``: the worker may die without a death for the job, which it has not started.
        Column("token", String(36)),
        Column("worker", String(64)),
        Column("lease_until", BigInteger),
        Column("blameless", SmallInteger, nullable=False, server_default="0"),
        # 1 once the job has failed for good without its handler: what is left is ``on_failure``.
        Column("doomed", SmallInteger, nullable=False, server_default="0"),
        Column("cancel_requested", SmallInteger, nullable=False, server_default="0"),
        Column("chain_id", String(36)),
        Column("position", Integer),
        # The position in its chain whose end cancelled this link; a retry over there revives it.
        Column("broken_at", Integer),
        Column("batch_id", String(36)),
        Column("batch_role", String(8)),
        Column("unique_key", String(255)),
        Column("note", Text),
        Column("progress", Text),
        Column("meta", Text),
        Column("error", Text),
        Column("result", Text),
        Column("payload", Text, nullable=False),
        schema=schema,
    )
    c = table.c
    _partial(f"ix_{prefix}jobs_ready", "state = 'ready'", c.queue, c.priority.desc(), c.due_at, c.id)
    _partial(f"ix_{prefix}jobs_scheduled", "state = 'scheduled'", c.queue, c.due_at)
    _partial(f"ix_{prefix}jobs_leased", "state = 'processing'", c.queue, c.lease_until)
    _partial(f"ix_{prefix}jobs_finished", "finished_at IS NOT NULL", c.queue, c.state, c.finished_at)
    _partial(f"ix_{prefix}jobs_waiting", "state = 'waiting'", c.queue, c.id)
    _partial(f"ix_{prefix}jobs_chain", "chain_id IS NOT NULL", c.chain_id, c.position)
    _partial(f"ix_{prefix}jobs_link", "chain_id IS NOT NULL AND finished_at IS NULL", c.chain_id)
    _partial(f"ix_{prefix}jobs_batch", "batch_role = 'member'", c.batch_id, c.state, c.id)
    return table


def _partial(name: str, condition: str, *columns: ColumnElement[object]) -> None:
    Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


def _batches(prefix: str, schema: str | None, metadata: MetaData) -> Table:
    table = Table(
        f"{prefix}batches",
        metadata,
        Column("id", String(36), primary_key=True),
        Column("total", Integer, nullable=False),
        # Set where the batch is a link of a chain.
        Column("chain_id", String(36)),
        Column("position", Integer),
        # As a job's; only where it has no members, which keep their own.
        Column("broken_at", Integer),
        Column("created_at", BigInteger, nullable=False),
        # Written when no member is left to run, so that the members may be pruned; empty again after a retry.
        Column("finished_at", BigInteger),
        # Of all members once it is finished; after a retry, of those that have been pruned by then.
        Column("completed", Integer),
        Column("failed", Integer),
        schema=schema,
    )
    c = table.c
    _partial(f"ix_{prefix}batches_finished", "finished_at IS NOT NULL", c.finished_at)
    _partial(f"ix_{prefix}batches_chain", "chain_id IS NOT NULL", c.chain_id, c.position)
    return table


def _callbacks(prefix: str, schema: str | None, metadata: MetaData) -> Table:
    """Jobs that wait for the end of a batch; each leaves this table in the transaction that makes it a job."""
    return Table(
        f"{prefix}callbacks",
        metadata,
        Column("batch_id", String(36), primary_key=True),
        Column("role", String(8), primary_key=True),
        Column("id", String(36), nullable=False),
        Column("queue", String(64), nullable=False),
        Column("priority", Integer, nullable=False),
        Column("name", String(255), nullable=False),
        Column("max_retries", Integer, nullable=False),
        Column("timeout", Float),
        Column("meta", Text),
        Column("payload", Text, nullable=False),
        schema=schema,
    )


def _paused(prefix: str, schema: str | None, metadata: MetaData) -> Table:
    return Table(
        f"{prefix}paused",
        metadata,
        Column("queue", String(64), primary_key=True),
        Column("since", BigInteger, nullable=False),
        schema=schema,
    )


def _counts(prefix: str, schema: str | None, metadata: MetaData) -> Table:
    return Table(
        f"{prefix}counts",
        metadata,
        Column("queue", String(64), primary_key=True),
        Column("state", String(16), primary_key=True),
        Column("jobs", BigInteger, nullable=False),
        schema=schema,
    )


def _layout(prefix: str, schema: str | None, metadata: MetaData) -> Table:
    return Table(
        f"{prefix}layout",
        metadata,
        Column("version", Integer, primary_key=True, autoincrement=False),
        # The oldest version of this package's layout whose code can still work with these tables.
        Column("oldest", Integer, nullable=False),
        schema=schema,
    )


_MAKERS: Final = (_jobs, _batches, _callbacks, _paused, _counts, _layout)
