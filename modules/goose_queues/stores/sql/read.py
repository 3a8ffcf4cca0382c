"""Looking: one job, one batch, and the counts of every queue. Nothing here takes a lock; each look sees one moment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, func, literal_column, select

from goose_queues.record import BatchProgress, JobRecord, QueueStats
from goose_queues.stores.moment import shown, shown_or_none
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.advance import tally
from goose_queues.stores.sql.backlog import count_ready
from goose_queues.stores.sql.pause import paused_queues
from goose_queues.stores.sql.rows import RECORD, job_record, whole
from goose_queues.stores.sql.standing import due_at, standing, urgency
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PROCESSING,
    READY,
    SCHEDULED,
    WAITING,
    word,
)
from goose_queues.stores.text import is_id

_ABOVE_ALL: Final = 2**62
_ALL: Final[ColumnElement[int]] = literal_column(str(_ABOVE_ALL))
_EVERY: Final[ColumnElement[Any]] = literal_column("*")
_ONE: Final[ColumnElement[int]] = literal_column("1")


def touch(connection: Connection, layout: Layout) -> None:
    """Read as little of the jobs as can be read."""
    _any_job(layout).rows(connection, {})


def get(connection: Connection, layout: Layout, job_id: str) -> JobRecord | None:
    """One job; None for any text that is no id of one."""
    if not is_id(job_id):
        return None
    rows = _job(layout).rows(connection, {"of_id": job_id})
    return job_record(rows[0]) if rows else None


def batch(connection: Connection, layout: Layout, batch_id: str) -> BatchProgress | None:
    """How far a batch is; None for any text that is no id of one."""
    rows = _batch(layout).rows(connection, {"of_batch": batch_id}) if is_id(batch_id) else []
    if not rows:
        return None
    total, created_at, finished_at, completed, failed = rows[0]
    total = whole(total)
    found = Counter({COMPLETED: whole(completed), FAILED: whole(failed)})
    if finished_at is None:
        found.update(tally(connection, layout, batch_id))
    pending = sum(found[state] for state in (READY, SCHEDULED, WAITING))
    processing, completed, failed = (found[state] for state in (PROCESSING, COMPLETED, FAILED))
    return BatchProgress(
        id=batch_id,
        total=total,
        pending=pending,
        processing=processing,
        completed=completed,
        failed=failed,
        cancelled=total - pending - processing - completed - failed,
        created_at=shown(created_at),
        finished_at=shown_or_none(finished_at),
    )


def stats(connection: Connection, layout: Layout, now: int) -> dict[str, QueueStats]:
    """Counts of every queue that has a row."""
    resting: dict[str, dict[str, int]] = defaultdict(dict)
    for queue, state, jobs in _at_rest(layout).rows(connection, {}):
        resting[queue][state] = whole(jobs)
    moving: dict[str, _Moving] = defaultdict(_Moving)
    for queue, jobs in _processing(layout).rows(connection, {}):
        moving[queue].processing = jobs
    others = sum(sum(states.values()) for states in resting.values()) + sum(it.processing for it in moving.values())
    for queue, jobs in count_ready(connection, layout, ready_queues(connection, layout), others).items():
        moving[queue].ready = jobs
        _look_at_front(connection, layout, queue, moving[queue])
    for queue in [queue for queue, states in resting.items() if states.get(SCHEDULED)]:
        due = next_scheduled(connection, layout, queue)
        if due is None or due > now:
            continue
        late, oldest = _late(layout).rows(connection, {"of_queue": queue, "now": now})[0]
        moving[queue].late = late
        moving[queue].see(oldest)
    paused = set(paused_queues(connection, layout))
    # By their text: a queue that a hand has written may be anything.
    found = {str(queue): queue for queue in {*moving, *resting, *paused}}
    return {
        name: _shown(moving[queue], resting.get(queue, {}), paused=queue in paused)
        for name, queue in sorted(found.items())
    }


def ready_queues(connection: Connection, layout: Layout) -> list[str]:
    """Every queue that has something to claim, found by leaping from queue to queue in the index."""
    queues: list[str] = []
    rows = _first_queue(layout).rows(connection, {})
    # What is no text would not be found again, or again and again.
    while rows and isinstance(rows[0][0], str):
        queues.append(rows[0][0])
        rows = _next_queue(layout).rows(connection, {"after": queues[-1]})
    return queues


def soonest(connection: Connection, layout: Layout) -> dict[str, float]:
    """When the earliest job of each queue that is not due yet will be."""
    found: dict[str, float] = {}
    for (queue,) in _scheduled_queues(layout).rows(connection, {}):
        due = next_scheduled(connection, layout, queue)
        if due is not None:
            found[queue] = due
    return found


def next_scheduled(connection: Connection, layout: Layout, queue: str) -> float | None:
    """When the earliest job of a queue that is not due yet will be.

    Of what a hand wrote there, text sorts last, and an infinite number is no integer.
    """
    rows = _next_scheduled(layout).rows(connection, {"of_queue": queue})
    due: object = rows[0][0] if rows else None
    return due if isinstance(due, int | float) else None


@dataclass(slots=True)
class _Moving:
    """The jobs of one queue that are on their way, as they are found."""

    ready: int = 0
    processing: int = 0
    late: int = 0
    """Scheduled, but due by now: the next claim makes them ready."""
    oldest: int | None = None

    def see(self, due: object) -> None:
        if isinstance(due, int) and (self.oldest is None or due < self.oldest):
            self.oldest = due


def _look_at_front(connection: Connection, layout: Layout, queue: str, moving: _Moving) -> None:
    """See the first of each priority that is ready: due times are in order inside one only."""
    below: object = _ABOVE_ALL
    while isinstance(below, int | float):
        rows = _front(layout).rows(connection, {"of_queue": queue, "below": below})
        below, due = rows[0] if rows else (None, None)
        moving.see(due)


def _shown(moving: _Moving, resting: Mapping[str, int], *, paused: bool) -> QueueStats:
    scheduled = resting.get(SCHEDULED, 0) - moving.late + resting.get(WAITING, 0)
    return QueueStats(
        pending=moving.ready + moving.late,
        scheduled=max(scheduled, 0),
        processing=moving.processing,
        completed=max(resting.get(COMPLETED, 0), 0),
        failed=max(resting.get(FAILED, 0), 0),
        cancelled=max(resting.get(CANCELLED, 0), 0),
        paused=paused,
        oldest_pending_at=shown_or_none(moving.oldest),
    )


@lru_cache(maxsize=16)
def _any_job(layout: Layout) -> Statement:
    return layout.prepare(select(layout.tables.jobs.c.id).limit(_ONE))


@lru_cache(maxsize=16)
def _job(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(select(*(jobs.c[name] for name in RECORD)).where(jobs.c.id == bindparam("of_id")))


@lru_cache(maxsize=16)
def _batch(layout: Layout) -> Statement:
    batches = layout.tables.batches
    columns = (batches.c.total, batches.c.created_at, batches.c.finished_at, batches.c.completed, batches.c.failed)
    return layout.prepare(select(*columns).where(batches.c.id == bindparam("of_batch")))


@lru_cache(maxsize=16)
def _at_rest(layout: Layout) -> Statement:
    kept = counts.kept(layout)
    return layout.prepare(select(kept.c.queue, kept.c.state, kept.c.jobs))


@lru_cache(maxsize=16)
def _first_queue(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(select(jobs.c.queue).where(jobs.c.state == word(READY)).order_by(jobs.c.queue).limit(_ONE))


@lru_cache(maxsize=16)
def _next_queue(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        select(jobs.c.queue)
        .where(jobs.c.state == word(READY), jobs.c.queue > bindparam("after"))
        .order_by(jobs.c.queue)
        .limit(_ONE)
    )


@lru_cache(maxsize=16)
def _front(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    below = bindparam("below", type_=BigInteger)
    is_lower = jobs.c.line_rank > -below if layout.family == "mysql" else jobs.c.priority < below
    return layout.prepare(
        select(jobs.c.priority, jobs.c.due_at)
        .where(jobs.c.state == word(READY), jobs.c.queue == bindparam("of_queue"), is_lower)
        .order_by(urgency(layout, jobs), due_at(layout, jobs))
        .limit(_ONE)
    )


@lru_cache(maxsize=16)
def _processing(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        select(jobs.c.queue, func.count(_EVERY)).where(jobs.c.state == word(PROCESSING)).group_by(jobs.c.queue)
    )


@lru_cache(maxsize=16)
def _late(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    due = due_at(layout, jobs)
    late = select(due.label("due_at")).where(
        *standing(layout, jobs, SCHEDULED),
        jobs.c.queue == bindparam("of_queue"),
        due <= bindparam("now", type_=BigInteger),
    )
    if layout.family == "postgresql":
        # Without an order the whole table might be read for them.
        late = late.order_by(jobs.c.due_at).limit(_ALL)
    found = late.subquery("late")
    return layout.prepare(select(func.count(_EVERY), func.min(found.c.due_at)).select_from(found))


@lru_cache(maxsize=16)
def _scheduled_queues(layout: Layout) -> Statement:
    kept = counts.kept(layout)
    return layout.prepare(select(kept.c.queue).where(kept.c.state == word(SCHEDULED)))


@lru_cache(maxsize=16)
def _next_scheduled(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        select(due_at(layout, jobs))
        .where(*standing(layout, jobs, SCHEDULED), jobs.c.queue == bindparam("of_queue"))
        .order_by(due_at(layout, jobs))
        .limit(_ONE)
    )
