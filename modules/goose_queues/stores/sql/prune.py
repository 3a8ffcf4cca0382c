"""Deleting what finished long ago, chunk by chunk along the index of finished jobs.

A chunk is looked for without any lock, then deleted by its ids under the same conditions once more. What belongs to a
chain or batch with something left to run is passed over, so a chunk may delete less than it has looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from goose_queues.stores.cursor import cursor_key, cursor_text
from goose_queues.stores.moment import span
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.given import Given, Many
from goose_queues.stores.sql.limit import most
from goose_queues.stores.sql.standing import along, of_members
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import FAR, FINISHED, word

BATCHES: Final = "batches"
"""The cursor behind the last job: what is left are batches."""
_START: Final = (-(2**62), "")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Finished jobs that are old enough to go."""

    ids: tuple[str, ...]
    cursor: str | None
    """Where the next chunk begins; None after the last."""


def find_old(
    connection: Connection, layout: Layout, now: int, retention: float, limit: int, cursor: str | None
) -> Chunk:
    """Look at ``limit`` jobs that finished more than ``retention`` seconds ago; those of them that may go."""
    if cursor == BATCHES:
        return Chunk((), None)
    places = sorted(place for place in counts.places(connection, layout) if place[1] in FINISHED)
    start = _place_of(cursor)
    ids: list[str] = []
    seen = 0
    for queue, state in places:
        if start is not None and (queue, state) < (start[0], start[1]):
            continue
        after = (start[2], start[3]) if start is not None and (queue, state) == start[:2] else _START
        rows = _old(layout).rows(
            connection,
            {
                "of_queue": queue,
                "of_state": state,
                "before": now - span(retention),
                "after": after[0],
                "after_id": after[1],
                "most": limit - seen,
            },
        )
        ids += [job_id for job_id, _, is_free in rows if is_free]
        seen += len(rows)
        if seen >= limit:
            last_id, last_time, _ = rows[-1]
            return Chunk(tuple(ids), cursor_text([queue, state, last_time, last_id]))
    return Chunk(tuple(ids), None)


def prune(connection: Connection, layout: Layout, now: int, retention: float, chunk: Chunk) -> int:
    """Delete a chunk, as far as it still may go; return how many."""
    before = now - span(retention)
    deleted: counts.Moves = Counter()
    for queue, state in _delete(connection, layout, before, chunk.ids):
        deleted[queue, state] -= 1
    counts.apply(connection, layout, deleted)
    return -sum(deleted.values())


def _delete(connection: Connection, layout: Layout, before: int, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Delete those that still may go; the queue and state of each."""
    rows = [{"of_id": job_id} for job_id in sorted(ids, key=str)]
    if layout.family == "mysql":
        locked = _locking(layout).rows(connection, rows, {"before": before})
        _deleting(layout).run(connection, [{"of_id": job_id} for job_id, _, _ in locked])
        return [(queue, state) for _, queue, state in locked]
    return [(queue, state) for queue, state in _deleting(layout).rows(connection, rows, {"before": before})]


def prune_batches(connection: Connection, layout: Layout, now: int, retention: float, limit: int) -> int:
    """Delete at most ``limit`` batches that ended long ago and have no member left, with callbacks never called."""
    before = now - span(retention)
    rows = _old_batches(layout).rows(connection, {"before": before, "most": limit})
    for (batch_id,) in rows:
        _deleting_callbacks(layout).run(connection, {"of_batch": batch_id})
        _deleting_batch(layout).run(connection, {"of_batch": batch_id, "before": before})
    return len(rows)


def _place_of(cursor: str | None) -> tuple[str, str, int, str] | None:
    if cursor is None:
        return None
    queue, state, time, job_id = cursor_key(cursor)
    return queue, state, time, job_id


def _is_free(layout: Layout, job: FromClause) -> ColumnElement[bool]:
    """Whether no chain and no batch of a job has anything left to run; a batch's members go by the batch's own end."""
    link, batches = layout.tables.jobs.alias("link"), layout.tables.batches
    is_open = (
        (link.c.open_chain == job.c.chain_id,)
        if layout.family == "mysql"
        else (link.c.chain_id == job.c.chain_id, link.c.finished_at.is_(None))
    )
    no_chain = _is_none(layout, *is_open)
    no_batch = _is_none(
        layout,
        batches.c.id == job.c.batch_id,
        or_(batches.c.finished_at.is_(None), batches.c.finished_at >= bindparam("before")),
    )
    return and_(or_(job.c.chain_id.is_(None), no_chain), or_(job.c.batch_id.is_(None), no_batch))


def _is_none(layout: Layout, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether no row is like that, asked for each by its index; for NOT EXISTS PostgreSQL may read a whole table first."""
    one: ColumnElement[int] = literal_column("1")
    if layout.family == "mysql":
        return ~exists(select(one).where(*conditions))
    return select(one).where(*conditions).limit(one).scalar_subquery().is_(None)


@lru_cache(maxsize=16)
def _old(layout: Layout) -> Statement:
    old = layout.tables.jobs.alias("old")
    if layout.family == "mysql":
        return _old_backwards(layout)
    return layout.prepare(
        select(old.c.id, old.c.finished_at, _is_free(layout, old))
        .where(
            old.c.queue == bindparam("of_queue"),
            old.c.state == bindparam("of_state"),
            old.c.finished_at >= bindparam("after"),
            old.c.finished_at < bindparam("before"),
            or_(old.c.finished_at > bindparam("after"), old.c.id > bindparam("after_id")),
        )
        .order_by(old.c.finished_at, old.c.id)
        .limit(most(layout))
    )


def _old_backwards(layout: Layout) -> Statement:
    """On MySQL, whose index has what finished last first."""
    old = layout.tables.jobs.alias("old")
    after, before = bindparam("after", type_=BigInteger), bindparam("before", type_=BigInteger)
    return layout.prepare(
        select(old.c.id, old.c.finished_at, _is_free(layout, old))
        .where(
            old.c.state == bindparam("of_state"),
            old.c.queue == bindparam("of_queue"),
            old.c.line_rank == literal_column("0"),
            old.c.line_at <= -after,
            old.c.line_at > -before,
            or_(old.c.line_at < -after, old.c.id < bindparam("after_id")),
            # A time that a hand has taken away.
            old.c.finished_at.is_not(None),
        )
        .order_by(old.c.line_at.desc(), old.c.id.desc())
        .limit(most(layout))
    )


def _may_go(layout: Layout, given: Given) -> tuple[ColumnElement[bool], ...]:
    jobs = layout.tables.jobs
    # PostgreSQL: by the index of what has finished it would walk all of that, instead of finding by ids.
    finished_at = func.coalesce(jobs.c.finished_at, FAR) if layout.family == "postgresql" else jobs.c.finished_at
    return (
        given.is_for(jobs.c.id, "of_id"),
        jobs.c.state.in_([word(state) for state in FINISHED]),
        finished_at < bindparam("before", type_=BigInteger),
        _is_free(layout, jobs),
    )


@lru_cache(maxsize=16)
def _deleting(layout: Layout) -> Many:
    """Returns the queues and states, but for MySQL: there it deletes what ``_locking`` has found."""
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        if layout.family == "mysql":
            return delete(jobs).where(given.is_for(jobs.c.id, "of_id"))
        return delete(jobs).where(*_may_go(layout, given)).returning(jobs.c.queue, jobs.c.state)

    return Many(layout, {"of_id": "key"}, build)


@lru_cache(maxsize=16)
def _locking(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        columns = (jobs.c.id, jobs.c.queue, jobs.c.state)
        locking = select(*columns).where(*_may_go(layout, given)).order_by(jobs.c.id).with_for_update(of=jobs)
        return along(layout, locking, jobs, index=None)

    return Many(layout, {"of_id": "key"}, build)


@lru_cache(maxsize=16)
def _old_batches(layout: Layout) -> Statement:
    batches, member = layout.tables.batches, layout.tables.jobs.alias("member")
    _, is_member = of_members(layout, member)
    is_empty = _is_none(layout, is_member, member.c.batch_id == batches.c.id)
    return layout.prepare(
        select(batches.c.id)
        .where(batches.c.finished_at < bindparam("before"), is_empty)
        .order_by(batches.c.finished_at)
        .limit(most(layout))
    )


@lru_cache(maxsize=16)
def _deleting_callbacks(layout: Layout) -> Statement:
    callbacks = layout.tables.callbacks
    return layout.prepare(delete(callbacks).where(callbacks.c.batch_id == bindparam("of_batch")))


@lru_cache(maxsize=16)
def _deleting_batch(layout: Layout) -> Statement:
    batches = layout.tables.batches
    return layout.prepare(
        delete(batches).where(batches.c.id == bindparam("of_batch"), batches.c.finished_at < bindparam("before"))
    )
