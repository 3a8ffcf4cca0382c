"""Telling in the log that a vacuum of the jobs table is blocked, on PostgreSQL.

A transaction that stays open, one that was prepared and forgotten, or a replication slot that nobody reads keeps the
server from removing rows that are long gone: the tables grow, and by and by everything gets slower. Called by ``store``
with its upkeep; it warns when that begins, and no more than once in ten minutes.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from goose_queues.redact import one_line
from goose_queues.stores.sql.statement import Layout, Statement
from goose_sql import Database

log = logging.getLogger("goose_queues.store")

EVERY: Final = 60.0
"""Seconds between two looks."""
OLD: Final = 60.0
"""Seconds from which on a snapshot counts as held."""
DEAD: Final = 10_000
"""Dead rows of the jobs table from which on it matters."""
QUIET: Final = 600.0
"""Seconds between two warnings."""

_CURES: Final = {
    "transaction": "end it (pg_terminate_backend), and set idle_in_transaction_session_timeout for its user",
    "prepared transaction": "COMMIT PREPARED or ROLLBACK PREPARED it",
    "replication slot": "let its reader catch up, or drop it (pg_drop_replication_slot)",
}


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose snapshot is the oldest of all."""

    kind: str
    name: str
    """Of a transaction: its process on the server, user and application."""
    xmin: str
    """The transaction from which on nothing may be removed; stays the same while the snapshot is held."""


class VacuumWatch:
    """Looks now and then, from wherever the store does its upkeep.

    Args:
        database: Where the jobs are.
        layout: Of the queue's tables.
        every: Seconds between two looks.
        old: Seconds from which on a snapshot counts as held.
        dead: Dead rows from which on it matters.
        quiet: Seconds between two warnings.
    """

    def __init__(
        self,
        database: Database,
        layout: Layout,
        *,
        every: float = EVERY,
        old: float = OLD,
        dead: int = DEAD,
        quiet: float = QUIET,
    ) -> None:
        self._database = database
        self._layout = layout
        self._every = every
        self._old = old
        self._dead = dead
        self._quiet = quiet
        self._looked_at: float | None = None
        self._warned_at: float | None = None
        self._is_blocked = False
        self._seen: dict[Holder, float] = {}
        """Whoever held a snapshot at the last look, and when it was first seen."""

    async def look(self) -> None:
        """Warn if a vacuum is blocked, unless that was said already, or it is not yet time to look again."""
        now = time.monotonic()
        if self._layout.family != "postgresql" or (self._looked_at is not None and now - self._looked_at < self._every):
            return
        self._looked_at = now
        try:
            dead, holder, age = await self._database.read(self._find, single=True)
        except DBAPIError as error:
            # Whoever may not read the statistics is not told of them; the queue works without.
            log.info("whether a vacuum is blocked cannot be seen", extra={"error": one_line(str(error.orig))})
            return
        was_blocked, self._is_blocked = self._is_blocked, holder is not None and dead >= self._dead and age >= self._old
        is_quiet = self._warned_at is not None and now - self._warned_at < self._quiet
        if holder is not None and self._is_blocked and not was_blocked and not is_quiet:
            self._warned_at = now
            log.warning(
                "Vacuum of the jobs table is blocked: %d dead rows stay because the %s %s is %d s old; %s",
                dead,
                holder.kind,
                holder.name,
                age,
                _CURES[holder.kind],
                extra={"dead_rows": dead, "holder": holder.name, "age": age},
            )

    def _find(self, connection: Connection) -> tuple[int, Holder | None, float]:
        """How many rows are dead, whose snapshot is the oldest, and for how long it has been held, as far as one knows.

        A slot has no age, and the age of others' transactions is told to members of ``pg_read_all_stats`` alone: of
        those one knows since when they have been seen here.
        """
        rows = _looking(self._layout).rows(connection, {"of_table": self._layout.tables.jobs.fullname})
        now, before = time.monotonic(), self._seen
        self._seen = {}
        best: tuple[int, float, Holder] | None = None
        for _, kind, name, xmin, behind, age in rows:
            if kind is None:
                continue
            holder = Holder(kind, one_line(name), xmin)
            self._seen[holder] = before.get(holder, now)
            # What has only just begun may have to keep as much as what was there long before.
            found = (behind, max(age or 0.0, now - self._seen[holder]), holder)
            if best is None or found[:2] > best[:2]:
                best = found
        dead = rows[0][0]
        return (dead, None, 0.0) if best is None else (dead, best[2], best[1])


@lru_cache(maxsize=16)
def _looking(layout: Layout) -> Statement:
    return layout.prepare(
        text("""
            WITH holder AS (
                SELECT 'transaction' AS kind,
                    pid || ' (user ' || usename || ', application ' || COALESCE(application_name, '') || ')' AS name,
                    COALESCE(backend_xmin, backend_xid) AS xmin, xact_start AS since
                FROM pg_stat_activity
                WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND usename IS NOT NULL
                    AND (datname = current_database() OR datname IS NULL) AND pid <> pg_backend_pid()
                    AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
                UNION ALL SELECT 'prepared transaction', gid, transaction, prepared
                FROM pg_prepared_xacts WHERE database = current_database()
                UNION ALL SELECT 'replication slot', slot_name, xmin, NULL
                FROM pg_replication_slots WHERE xmin IS NOT NULL
            )
            SELECT COALESCE(jobs.n_dead_tup, 0), holder.kind, holder.name, CAST(holder.xmin AS TEXT), age(holder.xmin),
                CAST(EXTRACT(EPOCH FROM clock_timestamp() - holder.since) AS DOUBLE PRECISION)
            FROM (SELECT CAST(:of_table AS TEXT) AS name) AS wanted
            LEFT JOIN pg_stat_user_tables AS jobs ON jobs.relid = to_regclass(wanted.name)
            LEFT JOIN holder ON TRUE
        """)
    )
