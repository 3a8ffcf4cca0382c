"""Keeping leases alive, and taking jobs back from workers that have died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, func, or_, select, update

from goose_queues.pausing import reached
from goose_queues.record import ErrorRecord, Rescued
from goose_queues.stores.moment import span
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.advance import MEMBERSHIP, advance, ended
from goose_queues.stores.sql.fence import HOLDER, NO_LEASE, held, is_processing
from goose_queues.stores.sql.given import Given, Kind, Many
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import CANCELLED, FAILED, FAR, PROCESSING, READY, word
from goose_queues.stores.sql.turns import take_turns_of
from goose_queues.stores.text import error_text

_LONG_AGO: Final = -(2**62)
MARGIN: Final = 500_000
"""Microseconds before its end from which a lease under a limit counts as lapsed for its holder, on servers."""


def extend(
    connection: Connection,
    layout: Layout,
    now: int,
    tokens: Mapping[str, str],
    lease: float,
    blameless: frozenset[str] = frozenset(),
    limited: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """Let the leases end ``lease`` seconds from ``now``; return the ids that the caller has lost."""
    end = now + span(lease)
    # By another process's reading of the server's clock it may be a little later.
    margin = 0 if layout.family == "sqlite" else MARGIN
    if limited:
        take_turns_of(connection, layout, limited)
    rows: list[dict[str, Any]] = [
        {
            "of_id": job_id,
            "of_token": token,
            "lease_end": end,
            "excused": int(job_id in blameless),
            "ended_by": now + margin if job_id in limited else _LONG_AGO,
        }
        # In one order everywhere, so that two transactions do not wait for one another.
        for job_id, token in sorted(tokens.items())
    ]
    if _extending(layout).run(connection, rows) == len(rows):
        return frozenset()
    return frozenset(row["of_id"] for row in rows if not _extended(layout).rows(connection, row))


def is_any_expired(connection: Connection, layout: Layout, now: int) -> bool:
    """Whether there is something to rescue, in one statement that locks nothing."""
    return bool(_expired(layout).rows(connection, {"now": now, "most": 1}))


def rescue(connection: Connection, layout: Layout, now: int, limit: int, max_deaths: int) -> Rescued:
    """Give back up to ``limit`` jobs whose lease has ended, the longest dead first.

    A job that has now died too often comes back ``doomed``: whoever claims it runs ``on_failure`` alone. One that
    kills its workers even there is failed here, when it has had as many deaths again. One that was to be cancelled is.
    """
    expired = _expired(layout).rows(connection, {"now": now, "most": limit})
    reached("rescue.selected")
    rows = [_rescued(job, now, max_deaths) for job in expired]
    if layout.family == "sqlite":
        rows = [row for row in rows if _rescuing(layout).run(connection, [row])]
    else:
        rows = _still_expired(connection, layout, rows)
        _rescuing(layout).run(connection, rows)
    over = [row for row in rows if row["new_state"] != READY]
    counts.apply(connection, layout, Counter((row["queue"], row["new_state"]) for row in over))
    followed = advance(connection, layout, now, [row["end"] for row in over if row["end"] is not None])
    kinds = Counter(FAILED if row["newly_doomed"] else row["new_state"] for row in rows)
    return Rescued(
        returned=kinds[READY],
        failed=kinds[FAILED],
        cancelled=kinds[CANCELLED],
        queues=frozenset(row["queue"] for row in rows if row["new_state"] == READY) | followed,
    )


def _still_expired(connection: Connection, layout: Layout, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """On a server: those that are as they were seen, locked; what others rescue, or settle after all, is left to them."""
    locked = {
        job_id for (job_id,) in _locking(layout).rows(connection, sorted(rows, key=lambda row: str(row["of_id"])))
    }
    return [row for row in rows if row["of_id"] in locked]


def _rescued(job: Sequence[Any], now: int, max_deaths: int) -> dict[str, Any]:
    """What one expired job becomes: the parameters of its update."""
    job_id, name, queue, token, lease_until, deaths, blameless, doomed, unwanted, *membership = job
    # What counts is that they are too many: more would not fit into the column, where a hand has filled it.
    before = min(deaths, 2 * max_deaths) if isinstance(deaths, int) else 0
    died = before + (0 if blameless else 1)
    over = bool(doomed) and died >= 2 * max_deaths
    newly_doomed = not doomed and not blameless and not unwanted and died >= max_deaths
    error = ErrorRecord("WorkerDied", f"worker died {died} times", "") if newly_doomed else None
    new_state = CANCELLED if unwanted else FAILED if over else READY
    return {
        "of_id": job_id,
        "of_token": token,
        "of_lease": lease_until,
        "queue": queue,
        "newly_doomed": newly_doomed,
        "new_state": new_state,
        "new_deaths": died,
        "refunded": int(bool(blameless) and not doomed),
        "now_doomed": int(bool(doomed) or newly_doomed),
        "new_error": None if error is None else error_text(error),
        "ended": None if new_state == READY else now,
        "end": None if new_state == READY else ended(job_id, name, new_state, *membership),
    }


_EXTENDING: Final[dict[str, Kind]] = {**HOLDER, "lease_end": "whole", "excused": "whole", "ended_by": "whole"}
_RESCUING: Final[dict[str, Kind]] = {
    "of_id": "key",
    "of_token": "key",
    "of_lease": "whole",
    "new_state": "key",
    "new_deaths": "whole",
    "refunded": "whole",
    "now_doomed": "whole",
    "new_error": "text",
    "ended": "whole",
}


@lru_cache(maxsize=16)
def _extending(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        return (
            update(jobs)
            .where(*held(layout, given), jobs.c.lease_until > given["ended_by"])
            .values(lease_until=given["lease_end"], blameless=given["excused"])
        )

    return Many(layout, _EXTENDING, build)


@lru_cache(maxsize=16)
def _extended(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(select(jobs.c.id).where(*held(layout), jobs.c.lease_until == bindparam("lease_end")))


@lru_cache(maxsize=16)
def _expired(layout: Layout) -> Statement:
    jobs = layout.tables.jobs
    return layout.prepare(
        select(
            jobs.c.id,
            jobs.c.name,
            jobs.c.queue,
            jobs.c.token,
            jobs.c.lease_until,
            jobs.c.deaths,
            jobs.c.blameless,
            jobs.c.doomed,
            jobs.c.cancel_requested,
            *(jobs.c[name] for name in MEMBERSHIP),
        )
        .where(
            jobs.c.state == word(PROCESSING),
            or_(jobs.c.lease_until <= bindparam("now"), jobs.c.lease_until.is_(None), jobs.c.lease_until >= FAR),
        )
        .order_by(jobs.c.lease_until)
        .limit(bindparam("most"))
    )


def _as_seen(layout: Layout, given: Given) -> tuple[ColumnElement[bool], ...]:
    """The fence of a rescue: the job is still under the very lease that was found expired."""
    jobs = layout.tables.jobs
    return (
        jobs.c.id == given["of_id"],
        is_processing(layout),
        jobs.c.token.is_not_distinct_from(given["of_token"]),
        jobs.c.lease_until.is_not_distinct_from(given["of_lease"]),
    )


@lru_cache(maxsize=16)
def _locking(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        found = select(jobs.c.id).where(*_as_seen(layout, given))
        return found.with_for_update(of=jobs, skip_locked=True)

    return Many(layout, {"of_id": "key", "of_token": "key", "of_lease": "whole"}, build)


@lru_cache(maxsize=16)
def _rescuing(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        return (
            update(jobs)
            .where(*_as_seen(layout, given))
            .values(
                state=given["new_state"],
                deaths=given["new_deaths"],
                attempts=jobs.c.attempts - given["refunded"],
                doomed=given["now_doomed"],
                error=func.coalesce(given["new_error"], jobs.c.error),
                finished_at=given["ended"],
                **NO_LEASE,
            )
        )

    return Many(layout, _RESCUING, build)
