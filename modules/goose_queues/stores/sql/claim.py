"""Taking due jobs under new leases, in one statement for many; one function per dialect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, bindparam, func, literal_column, select, update

from goose_queues.record import Claim, Claimed, ClaimedJob
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.fence import NO_LEASE, held
from goose_queues.stores.sql.moment import span
from goose_queues.stores.sql.pause import is_paused
from goose_queues.stores.sql.read import next_scheduled
from goose_queues.stores.sql.rows import CLAIMED, claimed_job
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import NOT_DOOMED, PROCESSING, READY, SCHEDULED, rowid, word

LONELY: Final = 2
"""A job with so many deaths is claimed alone: if it kills its worker again, no neighbour is hit."""
PROMOTED: Final = 5_000
"""Jobs at most that one claim makes ready because their time has come; the next claim goes on."""


def claim_on_sqlite(connection: Connection, layout: Layout, now: int, request: Claim) -> Claimed:
    """Take up to ``request.limit`` due jobs; the transaction holds the file's only write lock from its beginning."""
    if is_paused(connection, layout, request.queue):
        return Claimed((), None)
    next_due = _promote(connection, layout, now, request.queue)
    free = _free(connection, layout, now, request) if request.names else 0
    jobs = _take(connection, layout, now, request, free) if free > 0 else ()
    return Claimed(jobs, None if next_due is None else max(next_due - now, 0) / 1_000_000)


def _promote(connection: Connection, layout: Layout, now: int, queue: str) -> float | None:
    """Make ready what has come due meanwhile; return when the next one of the queue is due."""
    due = next_scheduled(connection, layout, queue)
    if due is not None and due <= now:
        promoted = _promotion(layout).run(connection, {"of_queue": queue, "now": now, "most": PROMOTED})
        counts.apply(connection, layout, Counter({(queue, SCHEDULED): -promoted}))
        due = next_scheduled(connection, layout, queue)
    return due


def _free(connection: Connection, layout: Layout, now: int, request: Claim) -> int:
    """How many jobs may be taken: what is wanted, as far as the limit of the fleet has room beside the live leases."""
    if request.fleet_limit is None:
        return request.limit
    live = _live(layout).rows(connection, {"of_queue": request.queue, "now": now})[0][0]
    return min(request.limit, request.fleet_limit - int(live))


def _take(connection: Connection, layout: Layout, now: int, request: Claim, most: int) -> tuple[ClaimedJob, ...]:
    token = str(uuid4())
    names = sorted(request.names)
    values = {
        "of_queue": request.queue,
        "most": most,
        "now": now,
        "lease_end": now + span(request.lease),
        "new_token": token,
        "by": request.worker,
        **{f"name_{number}": name for number, name in enumerate(names)},
    }
    rows = _taking(layout, len(names)).rows(connection, values)
    # RETURNING keeps no order.
    rows.sort(key=_order)
    return _kept(connection, layout, request, token, [claimed_job(row, token) for row in rows])


def _order(row: Sequence[Any]) -> tuple[Any, ...]:
    """Higher priority, earlier due time, smaller id first; text that a hand wrote into a number comes last."""
    identity, priority, due = row[0], row[1], row[2]
    priority = priority if isinstance(priority, int) else -(2**63)
    return (-priority, due if isinstance(due, int) else 2**63, str(identity))


def _kept(
    connection: Connection, layout: Layout, request: Claim, token: str, jobs: list[ClaimedJob]
) -> tuple[ClaimedJob, ...]:
    """What the worker gets of the jobs taken: all, unless one that may kill it is among them."""
    keep = len(jobs)
    if keep > 1:
        keep = next((place for place, job in enumerate(jobs) if job.deaths >= LONELY), keep) or 1
    back = [{"of_id": job.id, "of_token": token} for job in jobs[keep:]]
    if back:
        _giving_back(layout).run_many(connection, back)
    if request.slots is not None and keep > request.slots:
        unstarted = [{"of_id": job.id, "of_token": token} for job in jobs[max(request.slots, 0) : keep]]
        _excusing(layout).run_many(connection, unstarted)
    return tuple(jobs[:keep])


@lru_cache(maxsize=16)
def _promotion(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    late = jobs.alias("late")
    due = (
        select(rowid("late"))
        .select_from(late)
        .where(
            late.c.state == word(SCHEDULED),
            late.c.queue == bindparam("of_queue"),
            late.c.due_at <= bindparam("now"),
        )
        .order_by(late.c.due_at)
        .limit(bindparam("most"))
    )
    return layout.prepare(update(jobs).where(rowid(jobs.name).in_(due)).values(state=word(READY)))


@lru_cache(maxsize=16)
def _live(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        select(func.count(literal_column("*"))).where(
            jobs.c.state == word(PROCESSING),
            jobs.c.queue == bindparam("of_queue"),
            jobs.c.lease_until > bindparam("now"),
        )
    )


@lru_cache(maxsize=64)
def _taking(layout: Layout, names: int) -> Statement:
    jobs = layout.tables.jobs
    first = jobs.alias("first")
    chosen = (
        select(rowid("first"))
        .select_from(first)
        .where(
            first.c.state == word(READY),
            first.c.queue == bindparam("of_queue"),
            first.c.name.in_([bindparam(f"name_{number}") for number in range(names)]),
        )
        .order_by(first.c.priority.desc(), first.c.due_at, first.c.id)
        .limit(bindparam("most"))
    )
    return layout.prepare(
        update(jobs)
        .where(rowid(jobs.name).in_(chosen))
        .values(
            state=word(PROCESSING),
            token=bindparam("new_token"),
            worker=bindparam("by"),
            lease_until=bindparam("lease_end"),
            started_at=bindparam("now"),
            # Calling on_failure for a job that has failed for good is no attempt.
            attempts=jobs.c.attempts + NOT_DOOMED,
        )
        .returning(*(jobs.c[name] for name in CLAIMED))
    )


@lru_cache(maxsize=16)
def _giving_back(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        update(jobs)
        .where(*held(layout))
        .values(
            state=word(READY),
            attempts=jobs.c.attempts - NOT_DOOMED,
            started_at=literal_column("CASE WHEN attempts > 1 THEN started_at END"),
            **NO_LEASE,
        )
    )


@lru_cache(maxsize=16)
def _excusing(layout: Layout) -> Statement:
    return layout.prepare(update(layout.tables.jobs).where(*held(layout)).values(blameless=literal_column("1")))
