"""Where the line of each queue begins, on PostgreSQL, while the entries of jobs that were claimed cannot be removed.

The index of what is ready keeps the entry of a claimed job until a vacuum removes it, which a snapshot that somebody
holds open forbids: each claim would walk the entries of all that was claimed since then. Once a claim has been dear, those
of this process begin where the last ones ended, in each priority by itself. What comes to lie before that (given back
with its old time, committed late) is found by a look aside, at intervals, so that it waits but is not lost.

Owned by ``store``; ``claim`` asks where to begin and notes what it took.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Text,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias

from goose_queues.record import Claim
from goose_queues.stores.sql.statement import Layout, Statement, Values
from goose_queues.stores.sql.tables import READY, word
from goose_sql import Database
from goose_sql.errors import DatabaseClosed, DatabaseUnavailable

log = logging.getLogger("goose_queues.store")

DEAR: Final = 4_000
"""Microseconds from which on the walk to the first job is dear; on an index without dead entries it takes a tenth of it."""
APART: Final = 1.0
"""Seconds between two looks aside; ten times as long as a look takes, where that is more."""
MARGIN: Final = 200_000
"""Microseconds before the last job taken where the next claim begins: transactions commit in an order of their own."""
PRIORITIES: Final = 32
"""Those whose beginning is kept; the others are walked from theirs."""
UNUSED: Final = 10.0
"""Seconds without a claim after which nobody looks aside any more."""

_AGES_AGO: Final = -(2**62)
_LOWEST: Final = -(2**31)
_HIGHEST: Final = 2**31 - 1

WALKED: Final[ColumnElement[int]] = literal_column(
    "CAST(EXTRACT(EPOCH FROM clock_timestamp() - statement_timestamp()) * 1000000 AS BIGINT)", BigInteger
)
"""Microseconds since the server has had the statement, as a column of its first row."""


class Line:
    """What one process knows of the line in which jobs of some names wait in a queue."""

    def __init__(self, queue: str, names: Iterable[str], dear: int = DEAR) -> None:
        self.queue: Final = queue
        self.names: Final = sorted(names)
        self.is_dear = False
        """Whether claims begin where the last ones ended."""
        self.claimed_at = 0.0
        """By ``time.monotonic()``."""
        self._dear: Final = dear
        self._starts: dict[int, int] = {}

    def parts(self) -> Values | None:
        """The parameters of ``walked_parts``, most urgent part first; None: walk from the beginning."""
        self.claimed_at = time.monotonic()
        if not self.is_dear:
            return None
        parts: list[tuple[int, int, int]] = []
        above = _HIGHEST
        for priority, start in sorted(self._starts.items(), reverse=True):
            parts += [(priority + 1, above, _AGES_AGO), (priority, priority, start - MARGIN)]
            above = priority - 1
        parts.append((_LOWEST, above, _AGES_AGO))
        lows, highs, sinces = zip(*(part for part in parts if part[0] <= part[1]), strict=True)
        return {"lows": list(lows), "highs": list(highs), "sinces": list(sinces)}

    def took(self, jobs: Iterable[tuple[object, object]], walked: int, now: int) -> None:
        """Begin behind these jobs, of which are told priority and time, in their order, if the walk to them was dear."""
        for priority, due in jobs:
            if isinstance(priority, int) and isinstance(due, int):
                self._starts.pop(priority, None)
                # A time that a hand has put far ahead is none to begin at.
                self._starts[priority] = min(due, now)
        while len(self._starts) > PRIORITIES:
            del self._starts[next(iter(self._starts))]
        self.is_dear = self.is_dear or walked >= self._dear

    def go_back(self, due: int) -> None:
        """Begin no later than with what is due since then."""
        self._starts = {priority: min(start, due) for priority, start in self._starts.items()}

    def look(self, connection: Connection, layout: Layout) -> tuple[bool, float]:
        """Go back to what lies before the beginning; whether there was any, and the seconds that the look took."""
        known = list(self._starts.items())
        if not known:
            self.is_dear = False
            return False, 0.0
        rows = _before(layout).rows(
            connection,
            {
                "of_queue": self.queue,
                "names": self.names,
                "priorities": [priority for priority, _ in known],
                "sinces": [start - MARGIN for _, start in known],
            },
        )
        for priority, due, _ in rows:
            if due is not None:
                self._starts[priority] = min(due, self._starts.get(priority, due))
        walked = max(walked for *_, walked in rows)
        self.is_dear = walked >= self._dear
        return any(due is not None for _, due, _ in rows), walked / 1_000_000


class Starts:
    """The lines of a process, and the looks aside at those that are dear.

    Args:
        database: Where the jobs are.
        layout: Of the queue's tables.
        tell: Called with a queue in which something was found that claims have passed over.
        dear: Microseconds from which on a walk is dear.
        apart: Seconds between two looks.
    """

    def __init__(
        self,
        database: Database,
        layout: Layout,
        tell: Callable[[frozenset[str]], None],
        *,
        dear: int = DEAR,
        apart: float = APART,
    ) -> None:
        self._database = database
        self._layout = layout
        self._tell = tell
        self._dear = dear
        self._apart = apart
        self._lines: dict[tuple[str, frozenset[str]], Line] = {}
        self._looking: dict[Line, asyncio.Task[None]] = {}

    def line(self, claim: Claim) -> Line | None:
        """That from which a claim takes; None on other databases."""
        if self._layout.family != "postgresql":
            return None
        key = (claim.queue, claim.names)
        if key not in self._lines:
            self._lines[key] = Line(claim.queue, claim.names, self._dear)
        return self._lines[key]

    def watch(self, line: Line | None) -> None:
        """After a claim: look aside from now on, if it was dear."""
        if line is not None and line.is_dear and line not in self._looking:
            looking = asyncio.get_running_loop().create_task(self._look_on(line), name="goose-look-aside")
            self._looking[line] = looking
            looking.add_done_callback(lambda _: self._looking.pop(line, None))

    async def close(self) -> None:
        """Look no more."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        if looking:
            await asyncio.wait(looking)
        self._lines.clear()

    async def _look_on(self, line: Line) -> None:
        took = 0.0
        while line.is_dear:
            await asyncio.sleep(max(self._apart, took * 10))
            if time.monotonic() - line.claimed_at > max(UNUSED, took * 20):
                line.is_dear = False
                return
            try:
                found, took = await self._database.read(lambda it: line.look(it, self._layout), single=True)
            except (DatabaseUnavailable, DatabaseClosed):
                continue
            except Exception:
                log.exception("what lies before the beginning of a queue could not be looked for")
                continue
            if found:
                self._tell(frozenset({line.queue}))


def walked_parts() -> TableValuedAlias:
    """What a line is walked in: ``low`` and ``high`` of its priorities and ``since`` when, from parameters."""
    return _rows_of("part", lows="low", highs="high", sinces="since")


def _rows_of(name: str, **columns: str) -> TableValuedAlias:
    arrays = [cast(bindparam(parameter), ARRAY(BigInteger)) for parameter in columns]
    values = func.unnest(*arrays).table_valued(*(Column(column, BigInteger) for column in columns.values()))
    return values.render_derived(name=name)


@lru_cache(maxsize=16)
def _before(layout: Layout) -> Statement:
    jobs: Any = layout.tables.jobs
    part = _rows_of("part", priorities="priority", sinces="since")
    due = (
        select(jobs.c.due_at)
        .where(
            jobs.c.state == word(READY),
            jobs.c.queue == bindparam("of_queue"),
            jobs.c.priority == part.c.priority,
            jobs.c.due_at < part.c.since,
            jobs.c.name.collate("C") == any_(cast(bindparam("names"), ARRAY(Text))),
        )
        .order_by(jobs.c.due_at)
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    return layout.prepare(select(part.c.priority, due, WALKED))
