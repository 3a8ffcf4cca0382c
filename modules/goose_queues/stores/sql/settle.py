"""Writing outcomes: one transaction for many jobs, each change fenced by the job's token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, Update, bindparam, case, func, insert, literal_column, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from goose_queues.record import (
    Cancelled,
    ClaimedJob,
    Completed,
    Doomed,
    Failed,
    Outcome,
    Released,
    Retry,
    Settlement,
    Snoozed,
)
from goose_queues.stores.moment import span, stored
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.advance import Ended, advance, ended
from goose_queues.stores.sql.fence import HOLDER, NO_LEASE, held, holders, lock_holders
from goose_queues.stores.sql.given import Given, Kind, Many
from goose_queues.stores.sql.standing import along
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import CANCELLED, COMPLETED, FAILED, NOT_DOOMED, READY, SCHEDULED, Family
from goose_queues.stores.text import error_text, plain

_Row: TypeAlias = dict[str, Any]

ALIKE: Final = 4
"""Rows from which on a statement of their own is quicker on MySQL than a table of their values."""
_OWN: Final = {"claimed", "queue", *HOLDER}
"""What is a row's own, but not written."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a pack of settlements."""

    lost: frozenset[str]
    """Jobs whose lease was no longer the caller's; nothing was written for them."""
    queues: frozenset[str]
    """Queues that have something to claim thereby, now or later."""


@dataclass(frozen=True, slots=True)
class _Pack:
    """The rows that one statement updates."""

    statement: Many
    alike: Many
    """The same for rows that get the same values, on MySQL."""
    rows: list[_Row]


def settle(connection: Connection, layout: Layout, now: int, settlements: Sequence[Settlement]) -> Settled:
    """Write all outcomes whose holder still holds, and what follows from them."""
    finished = _Pack(_finishing(layout), _finishing_alike(layout), [])
    again = _Pack(_returning(layout), _returning_alike(layout), [])
    rows = [_row(settlement.claimed, settlement.outcome, now) for settlement in settlements]
    if layout.family != "sqlite":
        rows = list({_holder(row): row for row in reversed(rows)}.values())
    for row in _judged(connection, layout, now, rows):
        (again if "due" in row else finished).rows.append(row)
    write = _WRITES[layout.family]
    ended_rows = write(connection, layout, finished)
    back = write(connection, layout, again)
    done = [*ended_rows, *back]
    counts.apply(connection, layout, Counter((row["queue"], row["new_state"]) for row in done if _rests(row)))
    followed = advance(connection, layout, now, _ends(ended_rows))
    written = {row["of_id"] for row in done}
    return Settled(
        lost=frozenset(settlement.claimed.id for settlement in settlements) - written,
        queues=frozenset(row["queue"] for row in back) | followed,
    )


def can_settle_at_once(layout: Layout, settlements: Sequence[Settlement]) -> bool:
    """Whether one statement can do: all are over, and nothing follows from their ends."""
    return layout.family == "postgresql" and all(
        isinstance(it.outcome, Completed | Failed | Cancelled)
        and it.claimed.chain_id is None
        and it.claimed.batch_id is None
        for it in settlements
    )


def settle_at_once(connection: Connection, layout: Layout, now: int, settlements: Sequence[Settlement]) -> Settled:
    """On PostgreSQL: the same in one statement, which counts as well."""
    rows = sorted((_row(it.claimed, it.outcome, now) for it in settlements), key=_holder)
    written = {job_id for job_id, _ in _finishing_at_once(layout).rows(connection, rows)}
    return Settled(frozenset(it.claimed.id for it in settlements) - written, frozenset())


def _judged(connection: Connection, layout: Layout, now: int, rows: Sequence[_Row]) -> Iterator[_Row]:
    """The rows, but what is not to come back because somebody has asked for its end is cancelled instead.

    On MySQL they are locked, and those that are no longer held are left out; on PostgreSQL those that come back.
    """
    locked: dict[tuple[str, str], str | None] = {}
    if layout.family != "sqlite":
        locking = [row for row in rows if "due" in row or layout.family == "mysql"]
        locked = lock_holders(connection, layout, locking) if locking else {}
    for row in rows:
        if layout.family == "mysql" and _holder(row) not in locked:
            continue
        if "due" not in row:
            yield row
            continue
        if layout.family == "sqlite":
            reason = _unwanted(connection, layout, row)
        elif _holder(row) in locked:
            reason = locked[_holder(row)]
        else:
            continue
        if reason is None:
            yield row
        else:
            failed, error = row["failed"], row["new_error"]
            yield _finish(row["claimed"], CANCELLED, now, failed=failed, error=error, note=reason)


def _unwanted(connection: Connection, layout: Layout, row: _Row) -> str | None:
    """Why a job is not to come back: somebody has asked for its end."""
    found = _asked_to_end(layout).rows(connection, row)
    return str(found[0][0] or "") if found else None


def _ends(rows: Sequence[_Row]) -> list[Ended]:
    """Those of the finished jobs from which something may follow: nearly always none."""
    found = []
    for row in rows:
        job: ClaimedJob = row["claimed"]
        if job.chain_id is None and job.batch_id is None:
            continue
        end = ended(job.id, job.name, row["new_state"], job.chain_id, job.position, job.batch_id, job.batch_role)
        if end is not None:
            found.append(end)
    return found


def _write_counting(connection: Connection, layout: Layout, pack: _Pack) -> list[_Row]:
    """Update the rows; return those that were still held.

    Nearly always all of them are, which one number tells. Where not, the savepoint undoes them, and they are looked at
    one by one.
    """
    if not pack.rows:
        return []
    rows = pack.rows
    connection.exec_driver_sql("SAVEPOINT settling")
    if pack.statement.run(connection, rows) != len(rows):
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT settling")
        rows = holders(connection, layout, rows)
        pack.statement.run(connection, rows)
    connection.exec_driver_sql("RELEASE SAVEPOINT settling")
    return rows


def _write_returning(connection: Connection, _: Layout, pack: _Pack) -> list[_Row]:
    """The same where the database tells which rows it has updated; in the order of their ids, as everybody does."""
    rows = sorted(pack.rows, key=_holder)
    held_by = set(map(tuple, pack.statement.rows(connection, rows)))
    return [row for row in rows if _holder(row) in held_by]


def _write_locked(connection: Connection, _: Layout, pack: _Pack) -> list[_Row]:
    """The same where every row is locked, and so is held: for most of them one list of ids will do."""
    groups: dict[tuple[Any, ...], list[_Row]] = {}
    for row in pack.rows:
        groups.setdefault(tuple(value for name, value in row.items() if name not in _OWN), []).append(row)
    others: list[_Row] = []
    for group in groups.values():
        if len(group) < ALIKE <= len(groups):
            others += group
        else:
            pack.alike.run(connection, group, group[0])
    pack.statement.run(connection, others)
    return pack.rows


_WRITES: Final[dict[Family, Callable[[Connection, Layout, _Pack], list[_Row]]]] = {
    "sqlite": _write_counting,
    "postgresql": _write_returning,
    "mysql": _write_locked,
}


def _holder(row: _Row) -> tuple[str, str]:
    return row["of_id"], row["of_token"]


def _rests(row: _Row) -> bool:
    return bool(row["new_state"] != READY)


def _row(claimed: ClaimedJob, outcome: Outcome, now: int) -> _Row:
    """The parameters of the update that writes one outcome."""
    match outcome:
        case Completed(result, note):
            return _finish(claimed, COMPLETED, now, result=result, note=note)
        case Failed(error, note):
            return _finish(claimed, FAILED, now, failed=1, error=error_text(error), note=note)
        case Doomed(error):
            return _again(claimed, now, None, failed=1, doomed=1, error=error_text(error))
        case Cancelled(reason):
            return _finish(claimed, CANCELLED, now, note=reason)
        case Retry(delay, error, note):
            return _again(claimed, now, now + span(delay), failed=1, error=error_text(error), note=note)
        case Snoozed(delay, until):
            due = now + span(delay or 0) if until is None else stored(until)
            return _again(claimed, now, due, refunded=1)
        case Released():
            return _again(claimed, now, None, refunded=1)


def _finish(
    claimed: ClaimedJob,
    state: str,
    now: int,
    *,
    failed: int = 0,
    error: str | None = None,
    result: str | None = None,
    note: str | None = None,
) -> _Row:
    return {
        "claimed": claimed,
        "of_id": claimed.id,
        "of_token": claimed.token,
        "queue": claimed.queue,
        "new_state": state,
        "now": now,
        "failed": failed,
        "new_error": error,
        "new_result": plain(result),
        "new_note": plain(note),
    }


def _again(
    claimed: ClaimedJob,
    now: int,
    due: int | None,
    *,
    failed: int = 0,
    refunded: int = 0,
    doomed: int = 0,
    error: str | None = None,
    note: str | None = None,
) -> _Row:
    """``due`` None: it stays due since when it was, and so comes before what was dispatched after it."""
    return {
        "claimed": claimed,
        "of_id": claimed.id,
        "of_token": claimed.token,
        "queue": claimed.queue,
        "new_state": READY if due is None or due <= now else SCHEDULED,
        "due": due,
        "failed": failed,
        "refunded": refunded,
        "now_doomed": doomed,
        "new_error": error,
        "new_note": plain(note),
    }


_FINISHING: Final[dict[str, Kind]] = {
    **HOLDER,
    "new_state": "key",
    "now": "whole",
    "failed": "whole",
    "new_error": "text",
    "new_result": "text",
    "new_note": "text",
}
_RETURNING: Final[dict[str, Kind]] = {
    **HOLDER,
    "new_state": "key",
    "due": "whole",
    "failed": "whole",
    "refunded": "whole",
    "now_doomed": "whole",
    "new_error": "text",
    "new_note": "text",
}
_ALIKE: Final[dict[str, Kind]] = {"of_id": "key"}
_Values: TypeAlias = Callable[[str], ColumnElement[Any]]


def _finish_of(layout: Layout, whose: tuple[ColumnElement[bool], ...], given: _Values) -> Update:
    jobs = layout.tables.jobs
    return (
        update(jobs)
        .where(*whose)
        .values(
            state=given("new_state"),
            finished_at=given("now"),
            # The failure of a doomed job was counted when it was doomed: as a death.
            failures=jobs.c.failures + given("failed") * NOT_DOOMED,
            error=func.coalesce(given("new_error"), jobs.c.error),
            result=given("new_result"),
            note=given("new_note"),
            **NO_LEASE,
        )
    )


@lru_cache(maxsize=16)
def _finishing(layout: Layout) -> Many:
    return Many(layout, _FINISHING, lambda given: _telling(layout, given, _finish_of(layout, *_whose(layout, given))))


@lru_cache(maxsize=16)
def _finishing_alike(layout: Layout) -> Many:
    return Many(layout, _ALIKE, lambda given: _by_key(layout, _finish_of(layout, *_of_these(layout, given))))


@lru_cache(maxsize=16)
def _finishing_at_once(layout: Layout) -> Many:
    jobs, counts = layout.tables.jobs, layout.tables.counts

    def build(given: Given) -> Any:
        change = _finish_of(layout, *_whose(layout, given))
        done = change.returning(jobs.c.id, given["of_token"].label("token"), jobs.c.queue, jobs.c.state).cte("done")
        number = func.count(literal_column("*"))
        come = select(done.c.queue, done.c.state, number).group_by(done.c.queue, done.c.state)
        counted = insert(counts).from_select(["queue", "state", "jobs"], come).cte("counted")
        return select(done.c.id, done.c.token).add_cte(counted)

    return Many(layout, _FINISHING, build)


@lru_cache(maxsize=16)
def _returning(layout: Layout) -> Many:
    return Many(layout, _RETURNING, lambda given: _telling(layout, given, _return_of(layout, *_whose(layout, given))))


@lru_cache(maxsize=16)
def _returning_alike(layout: Layout) -> Many:
    return Many(layout, _ALIKE, lambda given: _by_key(layout, _return_of(layout, *_of_these(layout, given))))


def _return_of(layout: Layout, whose: tuple[ColumnElement[bool], ...], given: _Values) -> Update:
    jobs = layout.tables.jobs
    return (
        update(jobs)
        .where(*whose)
        .values(
            state=given("new_state"),
            due_at=func.coalesce(given("due"), jobs.c.due_at),
            attempts=jobs.c.attempts - given("refunded") * NOT_DOOMED,
            failures=jobs.c.failures + given("failed") * NOT_DOOMED,
            doomed=case((jobs.c.doomed != literal_column("0"), jobs.c.doomed), else_=given("now_doomed")),
            error=func.coalesce(given("new_error"), jobs.c.error),
            note=func.coalesce(given("new_note"), jobs.c.note),
            **NO_LEASE,
        )
    )


def _whose(layout: Layout, given: Given) -> tuple[tuple[ColumnElement[bool], ...], _Values]:
    """The jobs that the rows' tokens hold, and what each gets."""
    return held(layout, given), given.__getitem__


def _of_these(layout: Layout, given: Given) -> tuple[tuple[ColumnElement[bool], ...], _Values]:
    """The jobs of a list of ids, and what all of them get."""
    return (given.is_for(layout.tables.jobs.c.id, "of_id"),), _common


def _by_key(layout: Layout, change: Update) -> Update:
    along_keys: Update = along(layout, change, layout.tables.jobs, index=None)
    return along_keys


def _common(name: str) -> ColumnElement[Any]:
    return bindparam(name)


def _telling(layout: Layout, given: Given, change: Update) -> Update | ReturningUpdate[Any]:
    """On PostgreSQL: the change returns whose it was."""
    if layout.family != "postgresql":
        return change
    return change.returning(layout.tables.jobs.c.id, given["of_token"])


@lru_cache(maxsize=16)
def _asked_to_end(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(select(jobs.c.note).where(*held(layout), jobs.c.cancel_requested != literal_column("0")))
