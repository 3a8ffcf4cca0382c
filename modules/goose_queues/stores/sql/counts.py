"""Counts of the jobs at rest, kept beside them: by the transaction that moves a job, so that nobody walks a million.

Called by the operations that move jobs, and by the store after a pruning: a hand that edited the jobs table has left
the counts wrong, and ``drift`` tells by how much without holding a writer up.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, literal_column, select, union_all, update

from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import FINISHED, SCHEDULED, WAITING, word

Moves: TypeAlias = Counter[tuple[str, str]]
"""(queue, state) to the number of jobs that have come, less those that have gone."""

_NONE: Final[ColumnElement[int]] = literal_column("0")
_MOST: Final = 2**48


def apply(connection: Connection, layout: Layout, moves: Moves) -> None:
    """Add what has moved to the counts."""
    # By their text: a queue that a hand has written may be anything.
    for (queue, state), jobs in sorted(moves.items(), key=str):
        row = {"queue": queue, "state": state, "jobs": jobs, "of_queue": queue, "of_state": state, "come": jobs}
        if jobs and not _add(layout).run(connection, row):
            _start(layout).run(connection, row)


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
def _places(layout: Layout) -> Statement:
    counts = layout.tables.counts
    return layout.prepare(select(counts.c.queue, counts.c.state).where(counts.c.jobs > _NONE))


@lru_cache(maxsize=16)
def _drift(layout: Layout) -> Statement:
    jobs, counts = layout.tables.jobs, layout.tables.counts
    number = func.count(literal_column("*")).label("jobs")
    finished = (
        select(jobs.c.queue, jobs.c.state, number)
        .where(jobs.c.finished_at.is_not(None), jobs.c.state.in_([word(state) for state in FINISHED]))
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
