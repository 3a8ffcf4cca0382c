"""What follows when a job of a chain or batch has ended: the next link, the end of a broken chain, the callbacks.

Called by every operation that ends jobs (``settle``, ``lease``, ``steer``, ``purge``) within its own transaction, so that
a link and its successor, or the last member and its callback, are one fact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from goose_queues.stores.sql import counts
from goose_queues.stores.sql.changing import Changing
from goose_queues.stores.sql.moving import Moving
from goose_queues.stores.sql.standing import of_members
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import (
    CANCELLED,
    COMPLETED,
    FAILED,
    MEMBER,
    PROCESSING,
    READY,
    SCHEDULED,
    WAITING,
    word,
)
from goose_queues.stores.text import plain

MEMBERSHIP: Final = ("chain_id", "position", "batch_id", "batch_role")
"""Columns that ``ended`` takes, in its order."""
_COUNTS: Final = range(2**31)
UNFINISHED: Final = (PROCESSING, READY, SCHEDULED, WAITING)
_ONE: Final[ColumnElement[int]] = literal_column("1")
_NUMBER: Final[ColumnElement[Any]] = func.count(literal_column("*"))


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has reached its end in this transaction."""

    id: str
    name: str
    state: str
    """``completed``, ``failed`` or ``cancelled``; a purged job counts as cancelled."""
    chain_id: str | None
    position: int | None
    batch_id: str | None
    """Where it is a member; callbacks have none here."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """A row of ``batches``."""

    id: str
    total: int
    chain_id: str | None
    position: int | None
    is_over: bool
    completed: int = 0
    """Of members that have been pruned."""
    failed: int = 0


def membership(
    chain_id: object, position: object, batch_id: object, batch_role: object
) -> tuple[str | None, int | None, str | None]:
    """Chain, place in it, and the batch that a job is a member of; None for what only a hand can have written."""
    batch = batch_id if isinstance(batch_id, str) and batch_role == MEMBER else None
    if isinstance(chain_id, str) and isinstance(position, int) and position in _COUNTS:
        return chain_id, position, batch
    return None, None, batch


def _number(value: object) -> int:
    """A count of members; 0 for what only a hand can have written."""
    return value if isinstance(value, int) and value in _COUNTS else 0


def ended(
    job_id: str, name: str, state: str, chain_id: object, position: object, batch_id: object, batch_role: object
) -> Ended | None:
    """A job's end, if anything can follow from it."""
    chain, place, batch = membership(chain_id, position, batch_id, batch_role)
    return None if chain is None and batch is None else Ended(job_id, name, state, chain, place, batch)


def advance(connection: Connection, layout: Layout, now: int, jobs: Sequence[Ended]) -> frozenset[str]:
    """Do all that follows from the end of these jobs; return the queues that have something to claim thereby."""
    if not jobs:
        return frozenset()
    advance = Advance(connection, layout, now)
    advance.follow(jobs)
    advance.count()
    return frozenset(advance.queues)


def begin(connection: Connection, layout: Layout, now: int, batches: Iterable[str]) -> frozenset[str]:
    """Let batches that were stored without members be over, where their turn has come; return as ``advance`` does."""
    advance = Advance(connection, layout, now)
    for batch in sorted(batches):
        advance.judge(batch, broken=False, failed=False)
    advance.count()
    return frozenset(advance.queues)


def tally(connection: Connection, layout: Layout, batch_id: str) -> dict[str, int]:
    """How many members of a batch are in each state; those that are gone are in none."""
    return dict(_tally(layout).rows(connection, {"of_batch": batch_id}))


@dataclass(slots=True)
class Advance:
    """One round of consequences, in one transaction."""

    connection: Connection
    layout: Layout
    now: int
    moves: counts.Moves = field(default_factory=Counter)
    """What came to rest or left it."""
    queues: set[str] = field(default_factory=set)
    """Those that have something to claim."""

    def follow(self, jobs: Sequence[Ended]) -> None:
        """Chains first, since a broken one ends members of batches; then the batches, each judged once."""
        batches: dict[str, list[Ended]] = {}
        for job in jobs:
            if job.batch_id is not None:
                batches.setdefault(job.batch_id, []).append(job)
        links = {batch for batch in sorted(batches) if self._is_link(batch)}
        for job in sorted(jobs, key=lambda job: (job.chain_id or "", job.position or 0)):
            if job.chain_id is None or job.position is None or job.batch_id in links:
                continue
            if job.state == COMPLETED:
                self.release(job.chain_id, job.position + 1)
            else:
                for batch in self.break_off(job.chain_id, job.position, f"{job.name} {job.id}", job.state):
                    batches.setdefault(batch, [])
        for batch, members in sorted(batches.items()):
            states = {member.state for member in members}
            self.judge(batch, broken=bool(states - {COMPLETED}), failed=FAILED in states)

    def release(self, chain: str, position: int) -> None:
        """All links before have completed: let the next one begin. Batches without members are over at once, one by one.

        A place may be empty: what stood there has been purged.
        """
        place: int | None = position
        while place is not None and not self._begin(chain, place):
            for (batch_id,) in _empty_at(self.layout).rows(self.connection, {"of_chain": chain, "of_position": place}):
                self._end(_Batch(batch_id, 0, chain, place, is_over=False))
            place = self._next(chain, place + 1)

    def break_off(self, chain: str, position: int, what: str, state: str) -> set[str]:
        """A link has not completed: cancel all that waits behind it; return the batches that lose members by it."""
        place = {"of_chain": chain, "of_position": position}
        how = "was cancelled" if state == CANCELLED else state
        note = plain(f"{what}, before it in its chain, {how}")
        behind = _breaking(self.layout).rows(self.connection, {**place, "now": self.now, "why": note})
        for queue, _, number in behind:
            self.moves[queue, WAITING] -= number
            self.moves[queue, CANCELLED] += number
        for (batch_id,) in _breaking_empty(self.layout).rows(self.connection, {**place, "now": self.now}):
            self._call_back(batch_id, "finally")
        return {batch for _, batch, _ in behind if isinstance(batch, str)}

    def judge(self, batch_id: str, *, broken: bool, failed: bool) -> None:
        """Call back what the batch has reached, now that members have ended.

        Args:
            batch_id: Which one; its row is locked, so that of two transactions with its last members one sees both.
            broken: Whether one of them has not completed.
            failed: Whether one of them has failed.
        """
        batch = self._batch(batch_id)
        if batch is None:
            return
        if failed:
            self._call_back(batch_id, "catch")
        if batch.is_over:
            return
        over = not _unfinished(self.layout).rows(self.connection, {"of_batch": batch_id})
        completed = over and self._end(batch)
        if batch.chain_id is None or batch.position is None:
            return
        if completed:
            self.release(batch.chain_id, batch.position + 1)
        elif broken or over:
            state = FAILED if failed else CANCELLED
            for other in sorted(self.break_off(batch.chain_id, batch.position, f"batch {batch_id}", state)):
                self.judge(other, broken=True, failed=False)

    def count(self) -> None:
        """Write down what has moved."""
        counts.apply(self.connection, self.layout, self.moves)

    def _begin(self, chain: str, position: int) -> bool:
        """Make a link ready that waits; whether one did."""
        place = {"of_chain": chain, "of_position": position}
        waiting = _releasing(self.layout).rows(self.connection, {**place, "now": self.now})
        for queue, number in waiting:
            self.moves[queue, WAITING] -= number
            self.queues.add(queue)
        return bool(waiting)

    def _next(self, chain: str, position: int) -> int | None:
        """The first place from here on where something waits for its turn."""
        place = {"of_chain": chain, "of_position": position}
        found = _first_waiting(self.layout).rows(self.connection, place)
        found += _first_empty(self.layout).rows(self.connection, place)
        # What a hand has made of a place sorts behind all of them, and has no next.
        return min((at for (at,) in found if isinstance(at, int) and at in _COUNTS), default=None)

    def _end(self, batch: _Batch) -> bool:
        """No member is left to run; whether all have completed."""
        completed = self._finish(batch) == batch.total
        if completed:
            self._call_back(batch.id, "then")
        self._call_back(batch.id, "finally")
        return completed

    def _finish(self, batch: _Batch) -> int:
        """Keep the counts, so that the members may be pruned; how many have completed."""
        found = tally(self.connection, self.layout, batch.id)
        completed, failed = batch.completed + found.get(COMPLETED, 0), batch.failed + found.get(FAILED, 0)
        values = {"of_batch": batch.id, "now": self.now, "all_completed": completed, "all_failed": failed}
        _finishing(self.layout).run(self.connection, values)
        return int(completed)

    def _call_back(self, batch_id: str, role: str) -> None:
        """Make a stored callback a job, once: it leaves its table in the same transaction."""
        place = {"of_batch": batch_id, "of_role": role}
        for (queue,) in _callback(self.layout).rows(self.connection, place):
            _calling(self.layout).run(self.connection, {**place, "now": self.now})
            _called(self.layout).run(self.connection, place)
            self.queues.add(queue)

    def _is_link(self, batch_id: str) -> bool:
        batch = self._batch(batch_id)
        return batch is not None and batch.chain_id is not None

    def _batch(self, batch_id: str) -> _Batch | None:
        rows = _locked(self.layout).rows(self.connection, {"of_batch": batch_id})
        if not rows:
            return None
        total, chain_id, position, finished_at, completed, failed = rows[0]
        chain, place, _ = membership(chain_id, position, None, None)
        return _Batch(batch_id, total, chain, place, finished_at is not None, _number(completed), _number(failed))


@lru_cache(maxsize=16)
def _locked(layout: Layout) -> Statement:
    batches = layout.tables.batches
    names = ("total", "chain_id", "position", "finished_at", "completed", "failed")
    columns = (batches.c[name] for name in names)
    return layout.prepare(select(*columns).where(batches.c.id == bindparam("of_batch")).with_for_update())


def _waiting(layout: Layout, position: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    jobs = layout.tables.jobs
    return (jobs.c.chain_id == bindparam("of_chain"), position, jobs.c.state == word(WAITING))


@lru_cache(maxsize=16)
def _releasing(layout: Layout) -> Moving:
    where = _waiting(layout, layout.tables.jobs.c.position == bindparam("of_position"))
    return Moving(layout, where, {"state": word(READY), "due_at": bindparam("now")}, ("queue",))


@lru_cache(maxsize=16)
def _breaking(layout: Layout) -> Moving:
    where = _waiting(layout, layout.tables.jobs.c.position > bindparam("of_position"))
    values = {
        "state": word(CANCELLED),
        "finished_at": bindparam("now"),
        "note": bindparam("why"),
        "broken_at": bindparam("of_position"),
    }
    return Moving(layout, where, values, ("queue", "batch_id"))


@lru_cache(maxsize=16)
def _first_waiting(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    where = _waiting(layout, jobs.c.position >= bindparam("of_position"))
    return layout.prepare(select(jobs.c.position).where(*where).order_by(jobs.c.position).limit(_ONE))


def _empty(batches: FromClause) -> tuple[ColumnElement[bool], ...]:
    return (
        batches.c.chain_id == bindparam("of_chain"),
        batches.c.total == literal_column("0"),
        batches.c.finished_at.is_(None),
    )


@lru_cache(maxsize=16)
def _first_empty(layout: Layout) -> Statement:
    batches = layout.tables.batches
    where = (*_empty(batches), batches.c.position >= bindparam("of_position"))
    return layout.prepare(select(batches.c.position).where(*where).order_by(batches.c.position).limit(_ONE))


@lru_cache(maxsize=16)
def _empty_at(layout: Layout) -> Statement:
    batches = layout.tables.batches
    where = (*_empty(batches), batches.c.position == bindparam("of_position"))
    return layout.prepare(select(batches.c.id).where(*where))


@lru_cache(maxsize=16)
def _breaking_empty(layout: Layout) -> Changing:
    batches = layout.tables.batches
    empty = batches.alias("empty")
    none: ColumnElement[int] = literal_column("0")
    chosen = select().select_from(empty).where(*_empty(empty), empty.c.position > bindparam("of_position"))
    values = {"finished_at": bindparam("now"), "broken_at": bindparam("of_position"), "completed": none, "failed": none}
    return Changing(layout, batches, chosen, empty, values, ("id",))


@lru_cache(maxsize=16)
def _unfinished(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    state, is_member = of_members(layout, jobs)
    return layout.prepare(
        select(_ONE)
        .where(
            is_member,
            jobs.c.batch_id == bindparam("of_batch"),
            state.in_([word(state) for state in UNFINISHED]),
        )
        .limit(_ONE)
    )


@lru_cache(maxsize=16)
def _tally(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    state, is_member = of_members(layout, jobs)
    return layout.prepare(
        select(state, _NUMBER).where(is_member, jobs.c.batch_id == bindparam("of_batch")).group_by(state)
    )


@lru_cache(maxsize=16)
def _finishing(layout: Layout) -> Statement:
    batches = layout.tables.batches
    return layout.prepare(
        update(batches)
        .where(batches.c.id == bindparam("of_batch"))
        .values(finished_at=bindparam("now"), completed=bindparam("all_completed"), failed=bindparam("all_failed"))
    )


@lru_cache(maxsize=16)
def _callback(layout: Layout) -> Statement:
    callbacks = layout.tables.callbacks
    return layout.prepare(
        select(callbacks.c.queue).where(
            callbacks.c.batch_id == bindparam("of_batch"), callbacks.c.role == bindparam("of_role")
        )
    )


@lru_cache(maxsize=16)
def _calling(layout: Layout) -> Statement:
    jobs, callbacks = layout.tables.jobs, layout.tables.callbacks
    kept = ("id", "queue", "priority", "name", "max_retries", "timeout", "meta", "payload", "batch_id")
    made = select(
        *(callbacks.c[name] for name in kept),
        callbacks.c.role,
        word(READY),
        bindparam("now"),
        bindparam("now"),
    ).where(
        callbacks.c.batch_id == bindparam("of_batch"),
        callbacks.c.role == bindparam("of_role"),
        # A hand may have given it the id of another: that must not keep the batch's last member from its end.
        ~exists(select(_ONE).where(jobs.c.id == callbacks.c.id)),
    )
    return layout.prepare(insert(jobs).from_select([*kept, "batch_role", "state", "due_at", "created_at"], made))


@lru_cache(maxsize=16)
def _called(layout: Layout) -> Statement:
    callbacks = layout.tables.callbacks
    return layout.prepare(
        delete(callbacks).where(callbacks.c.batch_id == bindparam("of_batch"), callbacks.c.role == bindparam("of_role"))
    )
