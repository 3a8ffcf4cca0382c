"""Storing new jobs and batches, a thousand rows at a time, in whatever transaction the connection stands in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy import insert as insert_into

from goose_queues.record import NewBatch, NewJob
from goose_queues.stores.sql import advance, counts
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


CHUNK: Final = 1_000
"""Rows of one statement, so that a batch of any size takes little memory."""

_CALLBACK: Final = ("batch_id", "role", "id", "queue", "priority", "name", "max_retries", "timeout", "meta", "payload")


def insert(
    connection: Connection, layout: Layout, now: int, jobs: Sequence[NewJob], batches: Sequence[NewBatch] = ()
) -> frozenset[str]:
    """Store all of it, due from ``now`` or later; return the queues that have something to claim, now or later."""
    for start in range(0, len(jobs), CHUNK):
        rows = [_row(job, now) for job in jobs[start : start + CHUNK]]
        _statement(layout).run_many(connection, rows)
        resting = [(row["queue"], row["state"]) for row in rows if row["state"] != READY]
        if resting:
            counts.apply(connection, layout, Counter(resting))
    queues = frozenset([job.queue for job in jobs if not job.position])
    return queues | _insert_batches(connection, layout, now, batches) if batches else queues


def _insert_batches(connection: Connection, layout: Layout, now: int, batches: Sequence[NewBatch]) -> frozenset[str]:
    _of_batches(layout).run_many(connection, [_batch_row(batch, now) for batch in batches])
    callbacks = [_callback_row(job) for batch in batches for job in batch.callbacks]
    _of_callbacks(layout).run_many(connection, callbacks)
    over = [batch.id for batch in batches if not batch.total and not batch.position]
    return advance.begin(connection, layout, now, over)


def _batch_row(batch: NewBatch, now: int) -> dict[str, Any]:
    return {
        "id": batch.id,
        "total": batch.total,
        "chain_id": batch.chain_id,
        "position": batch.position,
        "created_at": now,
    }


def _callback_row(job: NewJob) -> dict[str, Any]:
    return {"role": job.batch_role, **{name: getattr(job, name) for name in _CALLBACK if name != "role"}}


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


@lru_cache(maxsize=16)
def _of_batches(layout: Layout) -> Statement:
    return layout.prepare(insert_into(layout.tables.batches), ("id", "total", "chain_id", "position", "created_at"))


@lru_cache(maxsize=16)
def _of_callbacks(layout: Layout) -> Statement:
    return layout.prepare(insert_into(layout.tables.callbacks), _CALLBACK)
