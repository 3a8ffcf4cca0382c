"""The fence around a running job: only who holds its token may change it.

Used by every operation that ends or renews a lease. Most faults of queues are one statement that forgot this.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, literal_column, null, select

from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import PROCESSING, word

NO_LEASE: Final[dict[str, Any]] = {"token": null(), "lease_until": null(), "blameless": literal_column("0")}
"""What ends a lease, as values of an UPDATE; ``worker`` stays and tells who had it last."""


def held(layout: Layout) -> tuple[ColumnElement[bool], ...]:
    """The conditions under which a holder may change a job; parameters ``of_id`` and ``of_token``."""
    jobs = layout.tables.jobs
    return (
        jobs.c.id == bindparam("of_id"),
        jobs.c.state == word(PROCESSING),
        jobs.c.token == bindparam("of_token"),
    )


def holders(connection: Connection, layout: Layout, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the rows whose token still holds, each job once."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["of_id"] not in found and _holding(layout).rows(connection, row):
            found[row["of_id"]] = row
    return list(found.values())


@lru_cache(maxsize=16)
def _holding(layout: Layout) -> Statement:
    return layout.prepare(select(layout.tables.jobs.c.id).where(*held(layout)))
