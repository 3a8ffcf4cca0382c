"""Storing new jobs and batches, a thousand rows at a time, in whatever transaction the connection stands in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Table, select
from sqlalchemy import insert as insert_into

from goose_queues.record import NewBatch, NewJob
from goose_queues.stores.moment import span, stored
from goose_queues.stores.pieces import in_pieces
from goose_queues.stores.sql import advance, counts
from goose_queues.stores.sql.given import Given, Kind, Many
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.tables import READY, SCHEDULED, WAITING

_JOB: Final[dict[str, Kind]] = {
    "id": "key",
    "queue": "key",
    "state": "key",
    "priority": "whole",
    "due_at": "whole",
    "name": "key",
    "max_retries": "whole",
    "timeout": "real",
    "created_at": "whole",
    "chain_id": "key",
    "position": "whole",
    "batch_id": "key",
    "batch_role": "key",
    "unique_key": "key",
    "meta": "text",
    "payload": "text",
}
_BATCH: Final[dict[str, Kind]] = {
    "id": "key",
    "total": "whole",
    "chain_id": "key",
    "position": "whole",
    "created_at": "whole",
}
_CALLBACK: Final[dict[str, Kind]] = {
    "batch_id": "key",
    "role": "key",
    "id": "key",
    "queue": "key",
    "priority": "whole",
    "name": "key",
    "max_retries": "whole",
    "timeout": "real",
    "meta": "text",
    "payload": "text",
}

CHUNK: Final = 1_000
"""Rows of one statement, so that a batch of any size takes little memory."""
BYTES: Final = 4 * 1024 * 1024
"""Of payload in one statement, unless one job has more: MySQL takes 16 MiB at a time."""


def insert(
    connection: Connection, layout: Layout, now: int, jobs: Sequence[NewJob], batches: Sequence[NewBatch] = ()
) -> frozenset[str]:
    """Store all of it, due from ``now`` or later; return the queues that have something to claim, now or later."""
    for chunk in in_pieces(jobs, CHUNK, BYTES):
        rows = [_row(job, now) for job in chunk]
        _of_jobs(layout).run(connection, rows)
        resting = [(row["queue"], row["state"]) for row in rows if row["state"] != READY]
        if resting:
            counts.apply(connection, layout, Counter(resting))
    queues = frozenset([job.queue for job in jobs if not job.position])
    return queues | _insert_batches(connection, layout, now, batches) if batches else queues


def is_one_statement(jobs: Sequence[NewJob], batches: Sequence[NewBatch]) -> bool:
    """Whether ``insert`` executes one statement and no more."""
    if batches or any(job.position or job.delay is not None or job.due_at is not None for job in jobs):
        return False
    return len(jobs) <= CHUNK and sum(len(job.payload) for job in jobs) <= BYTES


def _insert_batches(connection: Connection, layout: Layout, now: int, batches: Sequence[NewBatch]) -> frozenset[str]:
    _of_batches(layout).run(connection, [_batch_row(batch, now) for batch in batches])
    for chunk in in_pieces([job for batch in batches for job in batch.callbacks], CHUNK, BYTES):
        _of_callbacks(layout).run(connection, [_callback_row(job) for job in chunk])
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
def _of_jobs(layout: Layout) -> Many:
    return _inserting(layout, layout.tables.jobs, _JOB)


@lru_cache(maxsize=16)
def _of_batches(layout: Layout) -> Many:
    return _inserting(layout, layout.tables.batches, _BATCH)


@lru_cache(maxsize=16)
def _of_callbacks(layout: Layout) -> Many:
    return _inserting(layout, layout.tables.callbacks, _CALLBACK)


def _inserting(layout: Layout, table: Table, kinds: dict[str, Kind]) -> Many:
    def build(given: Given) -> Any:
        if given.rows is None:
            return insert_into(table).values({name: given[name] for name in kinds})
        return insert_into(table).from_select(list(kinds), select(*(given[name] for name in kinds)))

    return Many(layout, kinds, build, also_alone=True)
