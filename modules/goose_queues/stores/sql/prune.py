"""Deleting what finished long ago, in chunks, along the index of finished jobs."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from sqlalchemy import Connection, bindparam, delete, select

from goose_queues.stores.sql import counts
from goose_queues.stores.sql.moment import span
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import FINISHED, rowid


def prune(connection: Connection, layout: Layout, now: int, retention: float, limit: int) -> int:
    """Delete at most ``limit`` jobs that finished more than ``retention`` seconds ago; return how many."""
    before = now - span(retention)
    left = limit
    for queue, state in counts.places(connection, layout):
        if state not in FINISHED or left <= 0:
            continue
        values = {"of_queue": queue, "of_state": state, "before": before, "most": left}
        deleted = _deleting(layout).run(connection, values)
        counts.apply(connection, layout, Counter({(queue, state): -deleted}))
        left -= deleted
    return limit - left


@lru_cache(maxsize=16)
def _deleting(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    old = jobs.alias("old")
    chosen = (
        select(rowid("old"))
        .select_from(old)
        .where(
            old.c.finished_at < bindparam("before"),
            old.c.queue == bindparam("of_queue"),
            old.c.state == bindparam("of_state"),
        )
        .order_by(old.c.finished_at)
        .limit(bindparam("most"))
    )
    return layout.prepare(delete(jobs).where(rowid(jobs.name).in_(chosen)))
