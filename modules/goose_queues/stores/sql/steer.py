"""Steering single jobs from outside: cancelling, retrying, and what a running one tells of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal_column, null, select, update

from goose_queues.errors import JobConflict, JobNotFound
from goose_queues.record import CancelRequest
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.advance import MEMBERSHIP, Ended, advance, membership
from goose_queues.stores.sql.fence import held
from goose_queues.stores.sql.moving import Moving
from goose_queues.stores.sql.rows import status
from goose_queues.stores.sql.standing import of_members
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import (
    AT_REST,
    CANCELLED,
    COMPLETED,
    FAILED,
    FINISHED,
    PROCESSING,
    READY,
    SCHEDULED,
    WAITING,
    word,
)
from goose_queues.stores.text import is_id, plain

_COLUMNS: Final = ("id", "name", "queue", "state", *MEMBERSHIP)


@dataclass(frozen=True, slots=True)
class _Job:
    """As much of a job as steering needs."""

    id: str
    name: str
    queue: str
    state: str
    chain_id: str | None
    position: int | None
    batch_id: str | None
    """Where it is a member."""


def cancel(connection: Connection, layout: Layout, now: int, job_id: str, reason: str) -> frozenset[str]:
    """End a pending job, or ask the worker of a running one; return the queues that have something to claim thereby.

    Raises:
        JobNotFound: There is none of this id.
        JobConflict: It has completed or failed.
    """
    job = _find(connection, layout, job_id)
    values = {"of_id": job.id, "of_state": job.state, "now": now, "why": plain(reason)}
    if job.state == PROCESSING:
        _asking(layout).run(connection, values)
        return frozenset()
    if job.state == CANCELLED:
        return frozenset()
    if job.state not in {READY, SCHEDULED, WAITING}:
        raise JobConflict(job.id, status(job.state), "only a job that is pending or runs can be cancelled")
    _cancelling(layout).run(connection, values)
    _count(connection, layout, job, CANCELLED)
    end = Ended(job.id, job.name, CANCELLED, job.chain_id, job.position, job.batch_id)
    return advance(connection, layout, now, [end])


def cancel_requests(connection: Connection, layout: Layout) -> list[CancelRequest]:
    """What ``cancel`` has asked for and no worker has done yet."""
    rows = _asked(layout).rows(connection, {})
    return [CancelRequest(job_id, str(token), str(reason or "")) for job_id, token, reason in rows]


def retry(connection: Connection, layout: Layout, now: int, job_id: str) -> frozenset[str]:
    """Put a failed or cancelled job back; return the queues that have something to claim thereby.

    Raises:
        JobNotFound: There is none of this id.
        JobConflict: It is neither, or a link before it in its chain has to complete first.
    """
    job = _find(connection, layout, job_id)
    if job.state not in {FAILED, CANCELLED}:
        raise JobConflict(job.id, status(job.state), "only a failed or cancelled job can be retried")
    new_state = _place_in_chain(connection, layout, job)
    if job.batch_id is not None:
        _reopening(layout).run(connection, {"of_batch": job.batch_id})
    _retrying(layout).run(connection, {"of_id": job.id, "of_state": job.state, "now": now, "new_state": new_state})
    _count(connection, layout, job, new_state)
    _revive_followers(connection, layout, job)
    return frozenset({job.queue}) if new_state == READY else frozenset()


def note_progress(connection: Connection, layout: Layout, job_id: str, token: str, progress: str) -> bool:
    """Keep what a running attempt tells; whether it still holds its job."""
    values = {"of_id": job_id, "of_token": token, "new_progress": progress}
    return bool(_progressing(layout).run(connection, values))


def _find(connection: Connection, layout: Layout, job_id: str) -> _Job:
    rows = _job(layout).rows(connection, {"of_id": job_id}) if is_id(job_id) else []
    if not rows:
        raise JobNotFound(job_id)
    identity, name, queue, state, *place = rows[0]
    return _Job(identity, name, queue, state, *membership(*place))


def _place_in_chain(connection: Connection, layout: Layout, job: _Job) -> str:
    """Ready, or waiting for a link before.

    Raises:
        JobConflict: One has not completed, and is over.
    """
    if job.chain_id is None or not job.position:
        return READY
    before = _link_before(layout).rows(connection, {"of_chain": job.chain_id, "of_position": job.position})
    if not before:
        return READY
    first, state = before[0]
    if state in FINISHED:
        reason = f"{first}, before it in its chain, is {status(state)}: retry that one, and this one follows"
        raise JobConflict(job.id, status(job.state), reason)
    return WAITING


def _revive_followers(connection: Connection, layout: Layout, job: _Job) -> None:
    """Let those wait again that this link's end had cancelled; their batches are not over any more."""
    if job.chain_id is None:
        return
    place = {"of_chain": job.chain_id, "of_position": job.position}
    _reviving_empty(layout).run(connection, place)
    found: Sequence[Any] = _reviving(layout).rows(connection, place)
    for batch_id in sorted({batch_id for _, batch_id, _ in found if isinstance(batch_id, str)}):
        _reopening(layout).run(connection, {"of_batch": batch_id})
    moves: counts.Moves = Counter()
    for queue, _, number in found:
        moves[queue, CANCELLED] -= number
        moves[queue, WAITING] += number
    counts.apply(connection, layout, moves)


def _count(connection: Connection, layout: Layout, job: _Job, new_state: str) -> None:
    """A job goes from one state to another."""
    moves: counts.Moves = Counter()
    if job.state in AT_REST:
        moves[job.queue, job.state] -= 1
    if new_state in AT_REST:
        moves[job.queue, new_state] += 1
    counts.apply(connection, layout, moves)


@lru_cache(maxsize=16)
def _job(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    columns = (jobs.c[name] for name in _COLUMNS)
    return layout.prepare(select(*columns).where(jobs.c.id == bindparam("of_id")).with_for_update())


@lru_cache(maxsize=16)
def _asking(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        update(jobs)
        .where(jobs.c.id == bindparam("of_id"), jobs.c.state == word(PROCESSING))
        .values(cancel_requested=literal_column("1"), note=bindparam("why"))
    )


@lru_cache(maxsize=16)
def _asked(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        select(jobs.c.id, jobs.c.token, jobs.c.note).where(
            jobs.c.state == word(PROCESSING), jobs.c.cancel_requested != literal_column("0")
        )
    )


@lru_cache(maxsize=16)
def _cancelling(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        update(jobs)
        .where(jobs.c.id == bindparam("of_id"), jobs.c.state == bindparam("of_state"))
        .values(state=word(CANCELLED), finished_at=bindparam("now"), note=bindparam("why"))
    )


@lru_cache(maxsize=16)
def _retrying(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    none: ColumnElement[int] = literal_column("0")
    return layout.prepare(
        update(jobs)
        .where(jobs.c.id == bindparam("of_id"), jobs.c.state == bindparam("of_state"))
        .values(
            state=bindparam("new_state"),
            due_at=bindparam("now"),
            # The budgets begin anew; attempts go on counting, so that no two runs of a job have the same number.
            failures=none,
            deaths=none,
            doomed=none,
            cancel_requested=none,
            finished_at=null(),
            note=null(),
            broken_at=null(),
        )
    )


@lru_cache(maxsize=16)
def _link_before(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        select(jobs.c.id, jobs.c.state)
        .where(
            jobs.c.chain_id == bindparam("of_chain"),
            jobs.c.position < bindparam("of_position"),
            jobs.c.state != word(COMPLETED),
        )
        # What is over comes first: it decides.
        .order_by(jobs.c.finished_at.is_(None), jobs.c.position, jobs.c.id)
        .limit(literal_column("1"))
        # Its end would otherwise look for what waits behind it before this one does.
        .with_for_update()
    )


@lru_cache(maxsize=16)
def _reviving(layout: Layout) -> Moving:
    values = {"state": word(WAITING), "finished_at": null(), "note": null(), "broken_at": null()}
    return Moving(layout, _broken_off(layout), values, ("queue", "batch_id"))


@lru_cache(maxsize=16)
def _reviving_empty(layout: Layout) -> Statement:
    batches = layout.tables.batches
    return layout.prepare(
        update(batches)
        .where(batches.c.chain_id == bindparam("of_chain"), batches.c.broken_at == bindparam("of_position"))
        .values(finished_at=null(), broken_at=null(), completed=null(), failed=null())
    )


@lru_cache(maxsize=16)
def _reopening(layout: Layout) -> Statement:
    """What stays of the counts are members that have been pruned: the others are counted again at the end."""
    batches = layout.tables.batches
    return layout.prepare(
        update(batches)
        .where(batches.c.id == bindparam("of_batch"), batches.c.finished_at.is_not(None))
        .values(
            finished_at=null(),
            completed=batches.c.completed - _members_in(layout, COMPLETED),
            failed=batches.c.failed - _members_in(layout, FAILED),
        )
    )


def _members_in(layout: Layout, state: str) -> ColumnElement[int]:
    member = layout.tables.jobs.alias("member")
    of_member, is_member = of_members(layout, member)
    return (
        select(func.count(literal_column("*")))
        .where(is_member, member.c.batch_id == bindparam("of_batch"), of_member == word(state))
        .scalar_subquery()
    )


@lru_cache(maxsize=16)
def _progressing(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(update(jobs).where(*held(layout)).values(progress=bindparam("new_progress")))


def _broken_off(layout: Layout) -> tuple[Any, ...]:
    jobs = layout.tables.jobs
    return (
        jobs.c.chain_id == bindparam("of_chain"),
        jobs.c.position > bindparam("of_position"),
        jobs.c.broken_at == bindparam("of_position"),
        jobs.c.state == word(CANCELLED),
    )
