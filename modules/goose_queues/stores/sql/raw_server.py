"""A database server's own limit: SQLAlchemy Core on a table like the queue's, with no queue around it.

Used by ``goose queue bench``, and by the project's own benchmarks. Each function is one statement or two; whoever calls it
commits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import ARRAY, Connection, Executable, Table, Text, bindparam, cast, func, insert, select, update

from goose_queues.ids import new_id
from goose_queues.stores.sql.tables import COMPLETED, PROCESSING, READY, Tables, word

Row: TypeAlias = dict[str, Any]

QUEUE: Final = "default"
_ALIKE: Final[Row] = {"queue": QUEUE, "state": READY, "priority": 1, "name": "NoOp", "max_retries": 3, "timeout": 300.0}
"""What is the same in every row."""
_LEASE: Final = 30_000_000
"""In the microseconds of the store."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Core's, of a jobs table as it is on a server."""

    jobs: Table
    insert: Executable
    """Of any number of rows, as a list of parameters."""
    insert_lists: Executable | None
    """PostgreSQL: of several rows, whose ids and payloads are a list each; as many statements would take twice as long."""
    claim: Executable
    """On MySQL it only locks the rows: ``take`` updates them."""
    take: Executable | None
    complete: Executable

    @classmethod
    def on(cls, tables: Tables) -> Statements:
        """Those that suit its dialect."""
        jobs, is_mysql = tables.jobs, tables.family == "mysql"
        line = (jobs.c.line_rank, jobs.c.line_at) if is_mysql else (jobs.c.priority.desc(), jobs.c.due_at)
        first = (
            select(jobs.c.id)
            .where(jobs.c.state == word(READY), jobs.c.queue == bindparam("of"))
            .order_by(*line, jobs.c.id)
            .limit(bindparam("count"))
            .with_for_update(skip_locked=True)
        )
        leased = {
            "state": PROCESSING,
            "attempts": jobs.c.attempts + 1,
            "token": bindparam("lease"),
            "lease_until": bindparam("until"),
            "started_at": bindparam("now"),
        }
        named = jobs.c.id.in_(bindparam("ids", expanding=True))
        picked = first.cte("picked")
        at_once = update(jobs).where(jobs.c.id == picked.c.id).values(leased).returning(jobs.c.id, jobs.c.payload)
        return cls(
            jobs,
            insert(jobs),
            _of_lists(jobs) if tables.family == "postgresql" else None,
            first.add_columns(jobs.c.payload) if is_mysql else at_once,
            update(jobs).where(named).values(leased) if is_mysql else None,
            update(jobs)
            .where(named, jobs.c.token == bindparam("lease"))
            .values(state=COMPLETED, token=None, lease_until=None, finished_at=bindparam("now")),
        )


def store(connection: Connection, core: Statements, payloads: Sequence[str]) -> None:
    """Insert a row for each."""
    alike = {**_ALIKE, "due_at": (now := _now()), "created_at": now}
    if core.insert_lists is not None and len(payloads) > 1:
        lists = {"ids": [new_id() for _ in payloads], "payloads": list(payloads)}
        connection.execute(core.insert_lists, {**alike, **lists})
    else:
        connection.execute(core.insert, [{**alike, "id": new_id(), "payload": payload} for payload in payloads])


def claim(connection: Connection, core: Statements, count: int, token: str) -> list[str]:
    """Take the next rows under a lease; gives their ids."""
    now = _now()
    head: Row = {"of": QUEUE, "count": count}
    lease: Row = {"now": now, "lease": token, "until": now + _LEASE}
    if core.take is None:
        return [str(taken.id) for taken in connection.execute(core.claim, {**head, **lease})]
    ids = [str(seen.id) for seen in connection.execute(core.claim, head)]
    if ids:
        connection.execute(core.take, {**lease, "ids": sorted(ids)})
    return ids


def complete(connection: Connection, core: Statements, ids: Iterable[str], token: str) -> int:
    """Finish rows that were claimed so; how many."""
    return connection.execute(core.complete, {"ids": sorted(ids), "lease": token, "now": _now()}).rowcount


def count(connection: Connection, core: Statements) -> int:
    """How many rows there are."""
    return int(connection.scalar(select(func.count()).select_from(core.jobs)) or 0)


def _of_lists(jobs: Table) -> Executable:
    texts = [func.unnest(cast(bindparam(name), ARRAY(Text))) for name in ("ids", "payloads")]
    alike = [cast(bindparam(name), jobs.c[name].type) for name in (*_ALIKE, "due_at", "created_at")]
    return insert(jobs).from_select(["id", "payload", *_ALIKE, "due_at", "created_at"], select(*texts, *alike))


def _now() -> int:
    return time.time_ns() // 1000
