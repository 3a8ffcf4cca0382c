"""Counts of the jobs at rest, kept beside them: by the transaction that moves a job, so that nobody walks a million.

SQLite has a row for each queue and state, which is updated. On a server such a row would let one transaction commit at a
time, and be read through all of its dead versions: there each transaction adds a row of its own, and ``fold`` adds them up.

Called by the operations that move jobs, and by the store after a pruning: a hand that edited the jobs table has left
the counts wrong, and ``drift`` tells by how much without holding a writer up.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
    union_all,
    update,
)

from goose_queues.stores.sql.given import Given, Kind, Many
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import FINISHED, SCHEDULED, WAITING, word

Moves: TypeAlias = Counter[tuple[str, str]]
"""(queue, state) to the number of jobs that have come, less those that have gone."""

_NONE: Final[ColumnElement[int]] = literal_column("0")
_MOST: Final = 2**48
MANY: Final = 100
"""Rows from which on it is worth while to add them up."""
FOLDED: Final = 2_000
"""Rows that one transaction adds up."""
_MOVE: Final[dict[str, Kind]] = {"queue": "key", "state": "key", "jobs": "whole"}


def apply(connection: Connection, layout: Layout, moves: Moves) -> None:
    """Add what has moved to the counts."""
    if layout.family != "sqlite":
        rows = [
            {"queue": queue, "state": state, "jobs": jobs} for (queue, state), jobs in sorted(moves.items()) if jobs
        ]
        if layout.family == "mysql":
            # A table of parameters is dearer there than the few rows that it would hold.
            _start(layout).run_many(connection, rows)
        else:
            _moving(layout).run(connection, rows)
        return
    # By their text: a queue that a hand has written may be anything.
    for (queue, state), jobs in sorted(moves.items(), key=str):
        row = {"queue": queue, "state": state, "jobs": jobs, "of_queue": queue, "of_state": state, "come": jobs}
        if jobs and not _add(layout).run(connection, row):
            _start(layout).run(connection, row)


def kept(layout: Layout) -> FromClause:
    """What is counted: ``queue``, ``state`` and ``jobs``, a row for each place."""
    counts = layout.tables.counts
    if layout.family == "sqlite":
        return counts
    # A sum of integers is a decimal number to servers.
    jobs = cast(func.sum(counts.c.jobs), BigInteger).label("jobs")
    return select(counts.c.queue, counts.c.state, jobs).group_by(counts.c.queue, counts.c.state).subquery("kept")


def fold(connection: Connection, layout: Layout) -> bool:
    """On a server: add up the oldest rows, once there are many; whether there may be more. Several may do so at once."""
    if layout.family == "sqlite" or len(_some(layout).rows(connection, {"most": MANY})) < MANY:
        return False
    oldest = _folding(layout).rows(connection, {"most": FOLDED})
    _gone(layout).run(connection, [{"of_id": number} for number, *_ in sorted(oldest)])
    total: Moves = Counter()
    for _, queue, state, jobs in oldest:
        total[queue, state] += jobs
    apply(connection, layout, total)
    return len(oldest) == FOLDED


def places(connection: Connection, layout: Layout) -> list[tuple[str, str]]:
    """Every (queue, state) that holds jobs at rest, but for queues that only a hand can have made."""
    rows = _places(layout).rows(connection, {})
    return [(queue, state) for queue, state in rows if isinstance(queue, str) and isinstance(state, str)]


def drift(connection: Connection, layout: Layout) -> Moves:
    """How far the counts are from the truth, seen in one statement and so in one snapshot.

    Counts that a hand has made neither numbers nor of a queue stay as they are.
    """
    rows = _drift(layout).rows(connection, {})
    return Counter(
        {
            (queue, state): int(jobs)
            for queue, state, jobs in rows
            if isinstance(queue, str) and isinstance(state, str) and -_MOST < jobs < _MOST
        }
    )


@lru_cache(maxsize=16)
def _add(layout: Layout) -> Statement:
    counts = layout.tables.counts
    return layout.prepare(
        update(counts)
        .where(counts.c.queue == bindparam("of_queue"), counts.c.state == bindparam("of_state"))
        .values(jobs=counts.c.jobs + bindparam("come"))
    )


@lru_cache(maxsize=16)
def _start(layout: Layout) -> Statement:
    return layout.prepare(insert(layout.tables.counts), ("queue", "state", "jobs"))


@lru_cache(maxsize=16)
def _moving(layout: Layout) -> Many:
    counts = layout.tables.counts

    def build(given: Given) -> Any:
        return insert(counts).from_select(list(_MOVE), select(*(given[name] for name in _MOVE)))

    return Many(layout, _MOVE, build)


@lru_cache(maxsize=16)
def _some(layout: Layout) -> Statement:
    return layout.prepare(select(layout.tables.counts.c.id).limit(bindparam("most")))


@lru_cache(maxsize=16)
def _folding(layout: Layout) -> Statement:
    counts = layout.tables.counts
    return layout.prepare(
        select(counts.c.id, counts.c.queue, counts.c.state, counts.c.jobs)
        .order_by(counts.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


@lru_cache(maxsize=16)
def _gone(layout: Layout) -> Many:
    counts = layout.tables.counts
    return Many(layout, {"of_id": "whole"}, lambda given: delete(counts).where(given.is_for(counts.c.id, "of_id")))


@lru_cache(maxsize=16)
def _places(layout: Layout) -> Statement:
    counts = kept(layout)
    return layout.prepare(select(counts.c.queue, counts.c.state).where(counts.c.jobs > _NONE))


@lru_cache(maxsize=16)
def _drift(layout: Layout) -> Statement:
    jobs, counts = layout.tables.jobs, layout.tables.counts
    number = func.count(literal_column("*")).label("jobs")
    # PostgreSQL's and SQLite's index of them is for this condition alone; MySQL's has no such column.
    is_over = () if layout.family == "mysql" else (jobs.c.finished_at.is_not(None),)
    finished = (
        select(jobs.c.queue, jobs.c.state, number)
        .where(*is_over, jobs.c.state.in_([word(state) for state in FINISHED]))
        .group_by(jobs.c.queue, jobs.c.state)
    )
    pending = [
        select(jobs.c.queue, word(state).label("state"), number)
        .where(jobs.c.state == word(state))
        .group_by(jobs.c.queue)
        for state in (SCHEDULED, WAITING)
    ]
    counted = select(counts.c.queue, counts.c.state, (-counts.c.jobs).label("jobs"))
    every = union_all(finished, *pending, counted).subquery("every")
    total = func.sum(every.c.jobs)
    return layout.prepare(
        select(every.c.queue, every.c.state, total).group_by(every.c.queue, every.c.state).having(total != _NONE)
    )
