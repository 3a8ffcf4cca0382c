"""What is next in each of some queues of a server, seen by one statement: where that has changed, somebody should claim.

Used by ``poll``. Each queue costs a few entries of the claim's own indexes, however many jobs there are. That the names
are given is what makes it so: MariaDB does not leap from one queue to the next inside of a statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, bindparam, literal_column, select, union_all

from goose_queues.stores.sql.standing import due_at, standing, urgency
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import READY, SCHEDULED, word

_ONE: Final[ColumnElement[int]] = literal_column("1")


@dataclass(frozen=True, slots=True)
class Front:
    """What was next in one queue at one moment."""

    ready: str | None
    """The job that a claim would get first."""
    due: int | None
    """When the first of the others is due."""
    is_paused: bool

    @property
    def is_open(self) -> bool:
        """Whether a claim could get something, now or later."""
        return not self.is_paused and (self.ready is not None or self.due is not None)


Fronts: TypeAlias = Mapping[str, Front]


def news(before: Fronts, after: Fronts) -> frozenset[str]:
    """Queues from which a claim may now get what it did not get before.

    A job that nobody here may claim stays in front and is no news: it must not have everybody claim again and again.
    """
    return frozenset(queue for queue, front in after.items() if front.is_open and front != before.get(queue))


def fronts(connection: Connection, layout: Layout, queues: Sequence[str]) -> Fronts:
    """Look once."""
    values = {f"queue_{place}": queue for place, queue in enumerate(queues)}
    rows = _fronts(layout, len(queues)).rows(connection, values) if queues else []
    return {queues[int(place)]: Front(job, due, bool(is_paused)) for place, job, due, is_paused in rows}


@lru_cache(maxsize=64)
def _fronts(layout: Layout, queues: int) -> Statement:
    return layout.prepare(union_all(*(_front(layout, place) for place in range(queues))))


def _front(layout: Layout, place: int) -> Any:
    jobs, paused = layout.tables.jobs, layout.tables.paused
    queue: ColumnElement[Any] = bindparam(f"queue_{place}")
    ready = (
        select(jobs.c.id)
        .where(jobs.c.state == word(READY), jobs.c.queue == queue)
        .order_by(urgency(layout, jobs), due_at(layout, jobs), jobs.c.id)
        .limit(_ONE)
    )
    soonest = (
        select(due_at(layout, jobs))
        .where(*standing(layout, jobs, SCHEDULED), jobs.c.queue == queue)
        .order_by(due_at(layout, jobs))
        .limit(_ONE)
    )
    is_paused = select(_ONE).where(paused.c.queue == queue)
    return select(
        literal_column(str(place)), ready.scalar_subquery(), soonest.scalar_subquery(), is_paused.scalar_subquery()
    )
