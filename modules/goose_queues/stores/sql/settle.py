"""Writing outcomes: one transaction for many jobs, each change fenced by the job's token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, case, func, literal_column, select, update

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
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.advance import Ended, advance, ended
from goose_queues.stores.sql.fence import HOLDER, NO_LEASE, held, holders, lock_holders
from goose_queues.stores.sql.given import Given, Kind, Many
from goose_queues.stores.sql.moment import span, stored
from goose_queues.stores.sql.rows import error_text, plain
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import CANCELLED, COMPLETED, FAILED, NOT_DOOMED, READY, SCHEDULED

_Row: TypeAlias = dict[str, Any]


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
    rows: list[_Row]


def settle(connection: Connection, layout: Layout, now: int, settlements: Sequence[Settlement]) -> Settled:
    """Write all outcomes whose holder still holds, and what follows from them."""
    finished = _Pack(_finishing(layout), [])
    again = _Pack(_returning(layout), [])
    rows = [_row(settlement.claimed, settlement.outcome, now) for settlement in settlements]
    locked: dict[tuple[str, str], str | None] | None = None
    if layout.family != "sqlite":
        locked = lock_holders(connection, layout, rows)
        once = {_holder(row): row for row in reversed(rows)}
        rows = [row for holder, row in once.items() if holder in locked]
    for row in rows:
        if "due" not in row:
            finished.rows.append(row)
            continue
        reason = _unwanted(connection, layout, row) if locked is None else locked[_holder(row)]
        if reason is None:
            again.rows.append(row)
        else:
            failed, error = row["failed"], row["new_error"]
            finished.rows.append(_finish(row["claimed"], CANCELLED, now, failed=failed, error=error, note=reason))
    write = _write if locked is None else _write_locked
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


def _write(connection: Connection, layout: Layout, pack: _Pack) -> list[_Row]:
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


def _holder(row: _Row) -> tuple[str, str]:
    return row["of_id"], row["of_token"]


def _write_locked(connection: Connection, _: Layout, pack: _Pack) -> list[_Row]:
    """The same where every row is locked, and so is held."""
    pack.statement.run(connection, pack.rows)
    return pack.rows


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


@lru_cache(maxsize=16)
def _finishing(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        return (
            update(jobs)
            .where(*held(layout, given))
            .values(
                state=given["new_state"],
                finished_at=given["now"],
                # The failure of a doomed job was counted when it was doomed: as a death.
                failures=jobs.c.failures + given["failed"] * NOT_DOOMED,
                error=func.coalesce(given["new_error"], jobs.c.error),
                result=given["new_result"],
                note=given["new_note"],
                **NO_LEASE,
            )
        )

    return Many(layout, _FINISHING, build)


@lru_cache(maxsize=16)
def _returning(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        return (
            update(jobs)
            .where(*held(layout, given))
            .values(
                state=given["new_state"],
                due_at=func.coalesce(given["due"], jobs.c.due_at),
                attempts=jobs.c.attempts - given["refunded"] * NOT_DOOMED,
                failures=jobs.c.failures + given["failed"] * NOT_DOOMED,
                doomed=case((jobs.c.doomed != literal_column("0"), jobs.c.doomed), else_=given["now_doomed"]),
                error=func.coalesce(given["new_error"], jobs.c.error),
                note=func.coalesce(given["new_note"], jobs.c.note),
                **NO_LEASE,
            )
        )

    return Many(layout, _RETURNING, build)


@lru_cache(maxsize=16)
def _asked_to_end(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(select(jobs.c.note).where(*held(layout), jobs.c.cancel_requested != literal_column("0")))
