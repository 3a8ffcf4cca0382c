"""Deleting what is pending in a queue, in chunks; for chains and batches it counts as cancelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, and_, bindparam, or_, select

from goose_queues.record import Purged
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.advance import MEMBERSHIP, advance, ended
from goose_queues.stores.sql.changing import Changing
from goose_queues.stores.sql.limit import most
from goose_queues.stores.sql.standing import along
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.tables import CANCELLED, FAR, MEMBER, READY, SCHEDULED, WAITING, word

PENDING: Final = (WAITING, SCHEDULED, READY)
"""Links that wait go first, so that the end of one does not have to cancel them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What was deleted in one transaction."""

    purged: Purged
    queues: frozenset[str]
    """Those that have something to claim thereby."""


def purge(connection: Connection, layout: Layout, now: int, queue: str, limit: int, cursor: str | None) -> Chunk:
    """Delete at most ``limit`` pending jobs that were stored before the purge began, which is when it has no cursor yet."""
    began = now if cursor is None else int(cursor)
    gone: list[Sequence[Any]] = []
    for state in PENDING:
        left = limit - len(gone)
        if left > 0:
            gone += _deleting(layout, state).rows(connection, {"of_queue": queue, "began": began, "most": left})
    moves: counts.Moves = Counter()
    moves.subtract((queue, row[2]) for row in gone if row[2] != READY)
    counts.apply(connection, layout, moves)
    ends = (ended(job_id, name, CANCELLED, *membership) for job_id, name, _, *membership in gone)
    queues = advance(connection, layout, now, [end for end in ends if end is not None])
    return Chunk(Purged(len(gone), str(began) if len(gone) == limit else None), queues)


@lru_cache(maxsize=16)
def _deleting(layout: Layout, state: str) -> Changing:
    jobs = layout.tables.jobs
    old = jobs.alias("old")
    began = bindparam("began", type_=BigInteger)
    was_there = or_(
        old.c.created_at < began,
        # A callback of that very moment may be what the first chunk has brought about.
        and_(old.c.created_at == began, or_(old.c.batch_role.is_(None), old.c.batch_role == word(MEMBER))),
        # Text that a hand has written there is later than any time.
        old.c.created_at >= FAR,
    )
    chosen = (
        select()
        .select_from(old)
        .where(old.c.state == word(state), old.c.queue == bindparam("of_queue"), was_there)
        .limit(most(layout))
    )
    if layout.family == "postgresql":
        # In the order of their index: in none at all they would be looked for in the whole table.
        order = {
            WAITING: (old.c.id,),
            SCHEDULED: (old.c.due_at,),
            READY: (old.c.priority.desc(), old.c.due_at, old.c.id),
        }
        chosen = chosen.order_by(*order[state])
    return Changing(layout, jobs, along(layout, chosen, old), old, None, ("id", "name", "state", *MEMBERSHIP))
