"""What is next in every queue of a server, seen by one statement: where that has changed, somebody should claim.

Used by ``poll``. It leaps from queue to queue in the claim's own indexes, however many jobs there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import CTE, ColumnElement, Connection, literal_column, null, select, union_all

from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import READY, SCHEDULED, word

_ONE: Final[ColumnElement[int]] = literal_column("1")


@dataclass(frozen=True, slots=True)
class Fronts:
    """What was next at one moment."""

    ready: Mapping[str, str]
    """Of each queue that has something to claim: the job that is next."""
    due: Mapping[str, int]
    """Of each queue that has something later: when that is due."""
    paused: frozenset[str]

    def news_since(self, before: Fronts) -> frozenset[str]:
        """Queues from which a claim may now get what it did not get before.

        A job that nobody here may claim stays in front and is no news: it must not have everybody claim again and again.
        """
        moved = {queue for queue, job in self.ready.items() if before.ready.get(queue) != job}
        moved.update(queue for queue, due in self.due.items() if before.due.get(queue) != due)
        return frozenset(moved | before.paused) - self.paused


NOTHING: Final = Fronts({}, {}, frozenset())
"""Seen before the first look."""


def fronts(connection: Connection, layout: Layout) -> Fronts:
    """Look once."""
    ready: dict[str, str] = {}
    due: dict[str, int] = {}
    paused: set[str] = set()
    for queue, job, moment in _fronts(layout).rows(connection, {}):
        if job is not None:
            ready[queue] = job
        elif moment is not None:
            due[queue] = moment
        else:
            paused.add(queue)
    return Fronts(ready, due, frozenset(paused))


@lru_cache(maxsize=16)
def _fronts(layout: Layout) -> Statement:
    jobs, paused = layout.tables.jobs, layout.tables.paused
    ready, scheduled = _queues(layout, READY), _queues(layout, SCHEDULED)
    urgency = jobs.c.falling if layout.family == "mysql" else jobs.c.priority.desc()
    first = (
        select(jobs.c.id)
        .where(jobs.c.state == word(READY), jobs.c.queue == ready.c.queue)
        .order_by(urgency, jobs.c.due_at, jobs.c.id)
        .limit(_ONE)
        .scalar_subquery()
    )
    soonest = (
        select(jobs.c.due_at)
        .where(jobs.c.state == word(SCHEDULED), jobs.c.queue == scheduled.c.queue)
        .order_by(jobs.c.due_at)
        .limit(_ONE)
        .scalar_subquery()
    )
    return layout.prepare(
        union_all(
            select(ready.c.queue, first, null()).where(ready.c.queue.is_not(None)),
            select(scheduled.c.queue, null(), soonest).where(scheduled.c.queue.is_not(None)),
            select(paused.c.queue, null(), null()),
        )
    )


def _queues(layout: Layout, state: str) -> CTE:
    """Every queue that has a job in this state, and a NULL at the end."""
    jobs = layout.tables.jobs

    def next_queue(*after: ColumnElement[bool]) -> Any:
        found = select(jobs.c.queue).where(jobs.c.state == word(state), *after).order_by(jobs.c.queue).limit(_ONE)
        return found.scalar_subquery()

    found = select(next_queue().label("queue")).cte(f"{state}_queues", recursive=True)
    return found.union_all(
        select(next_queue(jobs.c.queue > found.c.queue)).select_from(found).where(found.c.queue.is_not(None))
    )
