"""The fence around a running job: only who holds its token may change it.

Used by every operation that ends or renews a lease. Most faults of queues are one statement that forgot this.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal_column, null, select

from goose_queues.stores.sql.given import Given, Kind, Many
from goose_queues.stores.sql.standing import along
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import PROCESSING, word

NO_LEASE: Final[dict[str, Any]] = {"token": null(), "lease_until": null(), "blameless": literal_column("0")}
"""What ends a lease, as values of an UPDATE; ``worker`` stays and tells who had it last."""
HOLDER: Final[dict[str, Kind]] = {"of_id": "key", "of_token": "key"}
"""The parameters of ``held``."""


def held(layout: Layout, given: Given | None = None) -> tuple[ColumnElement[bool], ...]:
    """The conditions under which a holder may change a job; parameters ``of_id`` and ``of_token``."""
    jobs = layout.tables.jobs
    return (
        jobs.c.id == (bindparam("of_id") if given is None else given["of_id"]),
        is_processing(layout),
        jobs.c.token == (bindparam("of_token") if given is None else given["of_token"]),
    )


def is_processing(layout: Layout) -> ColumnElement[bool]:
    """Whether a job that is found by its id is under a lease."""
    jobs = layout.tables.jobs
    # PostgreSQL: a state spelt as the partial index spells it would have it walk all that runs, instead of finding by ids.
    state = func.coalesce(jobs.c.state, literal_column("''")) if layout.family == "postgresql" else jobs.c.state
    return state == word(PROCESSING)


def holders(connection: Connection, layout: Layout, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the rows whose token still holds, each job once."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["of_id"] not in found and _holding(layout).rows(connection, row):
            found[row["of_id"]] = row
    return list(found.values())


def lock_holders(
    connection: Connection, layout: Layout, rows: Sequence[dict[str, Any]]
) -> dict[tuple[str, str], str | None]:
    """On a server: lock the jobs whose token still holds, and tell why somebody has asked for their end, if so.

    They are locked in the order of their ids, so that two transactions do not wait for one another.

    Returns:
        The reason, or None, by id and token.
    """
    found = _locking(layout).rows(connection, sorted(rows, key=lambda row: str(row["of_id"])))
    return {(job_id, token): str(note or "") if asked else None for job_id, token, asked, note in found}


@lru_cache(maxsize=16)
def _holding(layout: Layout) -> Statement:
    return layout.prepare(select(layout.tables.jobs.c.id).where(*held(layout)))


@lru_cache(maxsize=16)
def _locking(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        # MySQL looks for a list of keys; the token is compared where the answer is looked up.
        by_id = (given.is_for(jobs.c.id, "of_id"), is_processing(layout))
        whose = by_id if layout.family == "mysql" else held(layout, given)
        # The order: PostgreSQL locks as it comes upon the rows, after the sorting.
        return along(
            layout,
            select(jobs.c.id, jobs.c.token, jobs.c.cancel_requested, jobs.c.note)
            .where(*whose)
            .order_by(jobs.c.id)
            .with_for_update(of=jobs),
            jobs,
            index=None,
        )

    return Many(layout, {"of_id": "key"} if layout.family == "mysql" else HOLDER, build)
