"""Storing new jobs: one statement for one job or for many, in whatever transaction the connection stands in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy import insert as insert_into

from goose_queues.record import NewJob
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.moment import span, stored
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import READY, SCHEDULED, WAITING

_COLUMNS: Final = (
    "id",
    "queue",
    "state",
    "priority",
    "due_at",
    "name",
    "max_retries",
    "timeout",
    "created_at",
    "chain_id",
    "position",
    "batch_id",
    "batch_role",
    "unique_key",
    "meta",
    "payload",
)


def insert(connection: Connection, layout: Layout, now: int, jobs: Sequence[NewJob]) -> None:
    """Store all jobs, due from ``now`` or later."""
    rows = [_row(job, now) for job in jobs]
    if not rows:
        return
    _statement(layout).run_many(connection, rows)
    resting = [row for row in rows if row["state"] != READY]
    if resting:
        counts.apply(connection, layout, Counter((row["queue"], row["state"]) for row in resting))


def _row(job: NewJob, now: int) -> dict[str, Any]:
    due = _due(job, now)
    return {
        "id": job.id,
        "queue": job.queue,
        "state": _state(job, due, now),
        "priority": job.priority,
        "due_at": due,
        "name": job.name,
        "max_retries": job.max_retries,
        "timeout": job.timeout,
        "created_at": now,
        "chain_id": job.chain_id,
        "position": job.position,
        "batch_id": job.batch_id,
        "batch_role": job.batch_role,
        "unique_key": job.unique_key,
        "meta": job.meta,
        "payload": job.payload,
    }


def _due(job: NewJob, now: int) -> int:
    if job.due_at is not None:
        return max(stored(job.due_at), 0)
    return now if job.delay is None else now + span(job.delay)


def _state(job: NewJob, due: int, now: int) -> str:
    if job.position:
        return WAITING
    return READY if due <= now else SCHEDULED


@lru_cache(maxsize=16)
def _statement(layout: Layout) -> Statement:
    return layout.prepare(insert_into(layout.tables.jobs), _COLUMNS)
