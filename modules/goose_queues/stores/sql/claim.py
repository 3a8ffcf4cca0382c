"""Taking due jobs under new leases, in one statement for many; one function per dialect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.selectable import NamedFromClause

from goose_queues.record import Claim, Claimed, ClaimedJob
from goose_queues.stores.moment import span
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.changing import Changing, is_chosen
from goose_queues.stores.sql.fence import NO_LEASE, held
from goose_queues.stores.sql.given import Given, Many
from goose_queues.stores.sql.limit import most
from goose_queues.stores.sql.pause import is_paused
from goose_queues.stores.sql.read import next_scheduled
from goose_queues.stores.sql.rows import CLAIMED, claimed_job
from goose_queues.stores.sql.standing import along, due_at, standing, urgency
from goose_queues.stores.sql.starts import WALKED, Line, walked_parts
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import FAR, NOT_DOOMED, PROCESSING, READY, SCHEDULED, rowid, word
from goose_queues.stores.sql.turns import take_turn

LONELY: Final = 2
"""A job with so many deaths is claimed alone: if it kills its worker again, no neighbour is hit."""
PROMOTED: Final = 5_000
"""Jobs at most that one claim makes ready because their time has come; the next claim goes on."""

_Take: TypeAlias = Callable[[Connection, Layout, int, Claim, int], tuple[ClaimedJob, ...]]


def claim(connection: Connection, layout: Layout, now: int, request: Claim, line: Line | None = None) -> Claimed:
    """Take up to ``request.limit`` due jobs; ``line`` tells where to begin, on PostgreSQL."""
    match layout.family:
        case "sqlite":
            return claim_on_sqlite(connection, layout, now, request)
        case "postgresql":
            return claim_on_postgresql(connection, layout, now, request, line)
        case "mysql":
            return claim_on_mysql(connection, layout, now, request)


def claim_on_sqlite(connection: Connection, layout: Layout, now: int, request: Claim) -> Claimed:
    """The transaction holds the file's only write lock from its beginning."""
    return _claim(connection, layout, now, request, _take_returning)


def claim_on_postgresql(
    connection: Connection, layout: Layout, now: int, request: Claim, line: Line | None = None
) -> Claimed:
    """What somebody else is about to take is passed over."""
    return _claim(connection, layout, now, request, partial(_take_returning, line=line), line)


def can_claim_at_once(request: Claim) -> bool:
    """Whether one statement can do on PostgreSQL, unless something has come due meanwhile."""
    return request.fleet_limit is None and request.slots is None and bool(request.names)


def claim_at_once(connection: Connection, layout: Layout, now: int, request: Claim, line: Line) -> Claimed | None:
    """On PostgreSQL: look and take in one statement, which holds no lock until somebody far away goes on.

    None where something has come due meanwhile, which has to be made ready first; then nothing was taken.
    """
    token, values = _lease(now, request, request.limit)
    parts = line.parts()
    found = _taking_at_once(layout, by_parts=parts is not None).rows(
        connection, {**values, "names": line.names, **(parts or {})}
    )
    paused, next_due = found[0][:2]
    if paused:
        return Claimed((), None)
    if next_due is not None and next_due <= now:
        return None
    rows = [row[2:] for row in found if row[2] is not None]
    walked = rows[0][-1] if rows else 0
    rows.sort(key=_order)
    line.took([row[1:3] for row in rows], walked, now)
    return Claimed(tuple(claimed_job(row[:-1], token) for row in rows), _until(next_due, now))


def claim_on_mysql(connection: Connection, layout: Layout, now: int, request: Claim) -> Claimed:
    """It has no UPDATE ... RETURNING: the rows are locked, then updated by their key, in the order of their ids."""
    return _claim(connection, layout, now, request, _take_locking)


def _claim(
    connection: Connection, layout: Layout, now: int, request: Claim, take: _Take, line: Line | None = None
) -> Claimed:
    """Look at the pause, at what has come due and at the limit of the fleet, then take."""
    if request.fleet_limit is not None:
        take_turn(connection, layout, request.queue)
    if is_paused(connection, layout, request.queue):
        return Claimed((), None)
    next_due = _promote(connection, layout, now, request.queue, line)
    free = _free(connection, layout, now, request) if request.names else 0
    jobs = take(connection, layout, now, request, free) if free > 0 else ()
    return Claimed(jobs, _until(next_due, now))


def _until(due: float | None, now: int) -> float | None:
    return None if due is None else max(due - now, 0) / 1_000_000


def _promote(connection: Connection, layout: Layout, now: int, queue: str, line: Line | None) -> float | None:
    """Make ready what has come due meanwhile; return when the next one of the queue is due."""
    due = next_scheduled(connection, layout, queue)
    if due is not None and due <= now:
        values = {"of_queue": queue, "now": now, "most": PROMOTED}
        promoted = _promotion(layout)
        number = (
            promoted.run(connection, values)
            if isinstance(promoted, Statement)
            else len(promoted.rows(connection, values))
        )
        counts.apply(connection, layout, Counter({(queue, SCHEDULED): -number}))
        if line is not None:
            line.go_back(int(due))
        due = next_scheduled(connection, layout, queue)
    return due


def _free(connection: Connection, layout: Layout, now: int, request: Claim) -> int:
    """How many jobs may be taken: what is wanted, as far as the limit of the fleet has room beside the live leases."""
    if request.fleet_limit is None:
        return request.limit
    live = _live(layout).rows(connection, {"of_queue": request.queue, "now": now})[0][0]
    return min(request.limit, request.fleet_limit - int(live))


def _take_returning(
    connection: Connection, layout: Layout, now: int, request: Claim, most: int, line: Line | None = None
) -> tuple[ClaimedJob, ...]:
    token, values = _lease(now, request, most)
    parts = None if line is None else line.parts()
    taking = _taking(layout, len(request.names), by_parts=parts is not None)
    rows = taking.rows(connection, {**values, **(parts or {})})
    walked = rows[0][-1] if line is not None and rows else 0
    jobs = _taken(connection, layout, request, token, rows)
    if line is not None:
        line.took([row[1:3] for row in rows[: len(jobs)]], walked, now)
    return jobs


def _take_locking(
    connection: Connection, layout: Layout, now: int, request: Claim, most: int
) -> tuple[ClaimedJob, ...]:
    token, values = _lease(now, request, most)
    rows = _locking(layout, len(request.names)).rows(connection, values)
    _taking_locked(layout).run(connection, [{"of_id": job_id} for job_id in sorted(row[0] for row in rows)], values)
    return _taken(connection, layout, request, token, rows)


def _lease(now: int, request: Claim, most: int) -> tuple[str, dict[str, object]]:
    """The token of new leases, and the parameters of a statement that takes jobs under them."""
    token = str(uuid4())
    return token, {
        "of_queue": request.queue,
        "most": most,
        "now": now,
        "lease_end": now + span(request.lease),
        "new_token": token,
        "by": request.worker,
        **{f"name_{number}": name for number, name in enumerate(sorted(request.names))},
    }


def _taken(
    connection: Connection, layout: Layout, request: Claim, token: str, rows: list[tuple[Any, ...]]
) -> tuple[ClaimedJob, ...]:
    # RETURNING keeps no order.
    rows.sort(key=_order)
    return _kept(connection, layout, request, token, [claimed_job(row[: len(CLAIMED)], token) for row in rows])


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
def _promotion(layout: Layout) -> Statement | Changing:
    jobs = layout.tables.jobs
    late = jobs.alias("late")
    ripe = select().select_from(late).where(_is_late(layout, late)).order_by(due_at(layout, late)).limit(most(layout))
    if layout.family == "mysql":
        return Changing(layout, jobs, along(layout, ripe, late), late, {"state": word(READY)}, (), skip_locked=True)
    return layout.prepare(
        update(jobs)
        .where(is_chosen(layout, jobs, ripe, late, skip_locked=True, by_place=True))
        .values(state=word(READY))
    )


def _is_late(layout: Layout, late: FromClause) -> ColumnElement[bool]:
    """Whether a job of the queue has come due without having been made ready."""
    return and_(
        *standing(layout, late, SCHEDULED),
        late.c.queue == bindparam("of_queue"),
        due_at(layout, late) <= bindparam("now", type_=BigInteger),
    )


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


def _first(layout: Layout, names: int | None) -> tuple[NamedFromClause, Select[Any]]:
    """What is next in a queue, of those names: so many parameters, or None: one that holds them all."""
    first = layout.tables.jobs.alias("first")
    if names is None:
        known = first.c.name.collate("C") == any_(cast(bindparam("names"), ARRAY(Text)))
    else:
        known = first.c.name.in_([bindparam(f"name_{number}") for number in range(names)])
    chosen = (
        select()
        .select_from(first)
        .where(first.c.state == word(READY), first.c.queue == bindparam("of_queue"), known)
        .order_by(urgency(layout, first), due_at(layout, first), first.c.id)
        .limit(most(layout))
    )
    return first, along(layout, chosen, first)


_LEASED: Final[dict[str, Any]] = {
    "state": word(PROCESSING),
    "token": bindparam("new_token"),
    "worker": bindparam("by"),
    "lease_until": bindparam("lease_end"),
    "started_at": bindparam("now"),
}
"""What a claim writes, beside the attempt: calling ``on_failure`` for a job that has failed for good is none."""


@lru_cache(maxsize=64)
def _taking(layout: Layout, names: int, *, by_parts: bool) -> Statement:
    first, chosen = _first(layout, names)
    if layout.family == "postgresql":
        locked = _locked(layout, first, chosen, by_parts=by_parts).subquery("locked")
        return layout.prepare(_leasing(layout, select(locked.c.key)))
    jobs = layout.tables.jobs
    return layout.prepare(
        update(jobs)
        .where(is_chosen(layout, jobs, chosen, first, skip_locked=True, by_place=True))
        .values(**_LEASED, attempts=jobs.c.attempts + NOT_DOOMED)
        .returning(*(jobs.c[name] for name in CLAIMED))
    )


def _locked(layout: Layout, first: NamedFromClause, chosen: Select[Any], *, by_parts: bool) -> Any:
    """On PostgreSQL: lock them; their keys and what their order goes by."""
    key: ColumnElement[Any] = rowid("first", layout.family).label("key")
    locked = chosen.with_only_columns(
        key, first.c.priority, first.c.due_at, first.c.id, first.c.deaths
    ).with_for_update(of=first, skip_locked=True)
    if not by_parts:
        return locked
    part = walked_parts()
    # One part after the other is walked, as long as more is wanted.
    within = locked.where(
        first.c.priority >= part.c.low, first.c.priority <= part.c.high, first.c.due_at >= part.c.since
    ).lateral("within")
    return select(within).select_from(part.join(within, literal_column("true"))).limit(most(layout))


def _leasing(layout: Layout, keys: Select[Any]) -> ReturningUpdate[Any]:
    """On PostgreSQL: take the jobs of those keys; returns what ``claimed_job`` reads, and how long the walk took."""
    jobs = layout.tables.jobs
    return (
        update(jobs)
        .where(rowid(jobs.name, layout.family) == any_(func.array(keys.scalar_subquery())))
        .values(**_LEASED, attempts=jobs.c.attempts + NOT_DOOMED)
        .returning(*(jobs.c[name] for name in CLAIMED), WALKED.label("walked"))
    )


@lru_cache(maxsize=16)
def _taking_at_once(layout: Layout, *, by_parts: bool) -> Statement:
    """Whether the queue is paused, when its next job is due, and the jobs that were taken, a row for each, or one."""
    jobs, paused = layout.tables.jobs, layout.tables.paused
    late = jobs.alias("late")
    first, chosen = _first(layout, None)
    is_paused = exists().where(paused.c.queue == bindparam("of_queue"))
    due = (
        select(late.c.due_at)
        .where(late.c.state == word(SCHEDULED), late.c.queue == bindparam("of_queue"))
        .order_by(late.c.due_at)
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    # What has come due meanwhile may go before what is ready: it has to be made ready first. Asked for by EXISTS, it would
    # be looked for in the whole table by a planner that believes to find some soon.
    free = chosen.where(~is_paused, func.coalesce(due, FAR) > bindparam("now"))
    locked = _locked(layout, first, free, by_parts=by_parts).subquery("locked")
    order = (locked.c.priority.desc(), locked.c.due_at, locked.c.id)
    # Of jobs that may kill their worker the first is taken alone, and what comes before the first without it.
    ranked = select(
        locked.c.key,
        func.row_number().over(order_by=order).label("place"),
        func.count().filter(locked.c.deaths >= LONELY).over(order_by=order).label("suspects"),
    ).subquery("ranked")
    kept = select(ranked.c.key).where(
        or_(ranked.c.place == literal_column("1"), ranked.c.suspects == literal_column("0"))
    )
    taken = _leasing(layout, kept).cte("taken")
    look = select(is_paused.label("paused"), due.label("next_due")).subquery("look")
    return layout.prepare(select(look, *taken.c).select_from(look.outerjoin(taken, literal_column("true"))))


@lru_cache(maxsize=64)
def _locking(layout: Layout, names: int) -> Statement:
    first, chosen = _first(layout, names)
    columns = [
        first.c.attempts + literal_column("CASE WHEN first.doomed = 0 THEN 1 ELSE 0 END", Integer)
        if name == "attempts"
        else first.c[name]
        for name in CLAIMED
    ]
    return layout.prepare(chosen.with_only_columns(*columns).with_for_update(of=first, skip_locked=True))


@lru_cache(maxsize=16)
def _taking_locked(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        change = along(layout, update(jobs), jobs, index=None).where(given.is_for(jobs.c.id, "of_id"))
        return change.values(**_LEASED, attempts=jobs.c.attempts + NOT_DOOMED)

    return Many(layout, {"of_id": "key"}, build)


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
