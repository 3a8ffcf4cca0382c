"""Deleting what is pending in a queue, in chunks; for chains and batches it counts as cancelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select

from goose_queues.stores.sql import counts
from goose_queues.stores.sql.advance import MEMBERSHIP, advance, ended
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import CANCELLED, READY, SCHEDULED, WAITING, rowid, word

PENDING: Final = (WAITING, SCHEDULED, READY)
"""Links that wait go first, so that the end of one does not have to cancel them."""


def purge(connection: Connection, layout: Layout, now: int, queue: str, limit: int) -> tuple[int, frozenset[str]]:
    """Delete at most ``limit`` pending jobs; how many, and the queues that have something to claim thereby."""
    gone: list[Sequence[Any]] = []
    for state in PENDING:
        left = limit - len(gone)
        if left > 0:
            gone += _deleting(layout, state).rows(connection, {"of_queue": queue, "most": left})
    moves: counts.Moves = Counter()
    moves.subtract((queue, row[2]) for row in gone if row[2] != READY)
    counts.apply(connection, layout, moves)
    ends = (ended(job_id, name, CANCELLED, *membership) for job_id, name, _, *membership in gone)
    return len(gone), advance(connection, layout, now, [end for end in ends if end is not None])


@lru_cache(maxsize=16)
def _deleting(layout: Layout, state: str) -> Statement:
    jobs = layout.tables.jobs
    old = jobs.alias("old")
    chosen = (
        select(rowid("old"))
        .select_from(old)
        .where(old.c.state == word(state), old.c.queue == bindparam("of_queue"))
        .limit(bindparam("most"))
    )
    columns = (jobs.c.id, jobs.c.name, jobs.c.state, *(jobs.c[name] for name in MEMBERSHIP))
    return layout.prepare(delete(jobs).where(rowid(jobs.name).in_(chosen)).returning(*columns))
