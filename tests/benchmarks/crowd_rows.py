"""Rows by the hundred thousand in the store's own tables, by SQL alone: what would take hours to come about.

The ids are UUIDv7 of the times at which such jobs would have been dispatched, one each millisecond, so the indexes get
the shape that they have in practice.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

QUEUE: Final = "default"
DAY: Final = 86_400_000_000
"""In the microseconds of the store."""

_INSERT: Final = """
with recursive n (i) as (select 0 where :jobs > 0 union all select i + 1 from n where i + 1 < :jobs)
insert into goose_jobs
    (id, queue, state, priority, due_at, name, attempts, max_retries, created_at, started_at, finished_at, payload)
select
    printf('%08x-%04x-7%03x-8000-%012x', (:first / 1000 + i) >> 16, (:first / 1000 + i) & 65535, :kind, i),
    :queue, :state, 1, :first + :later + i * 1000, :name, :ended, 3, :first + i * 1000,
    iif(:ended, :first + i * 1000 + 100, null), iif(:ended, :first + i * 1000 + 900, null),
    printf('{"number":%d,"text":"of the crowd"}', i)
from n
"""
_COUNT: Final = """
insert into goose_counts (queue, state, jobs) values (:queue, :state, :jobs)
on conflict (queue, state) do update set jobs = jobs + excluded.jobs
"""


def crowd(file: Path, name: str, *, finished: int = 0, future: int = 0, ready: int = 0) -> None:
    """Put so many jobs of this name beside what is in the file, one in ten of the finished ones failed."""
    failed = finished // 10
    now = time.time_ns() // 1000
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("pragma synchronous=off")
    connection.execute("begin immediate")
    for kind, (state, jobs, ended, later) in enumerate(
        (
            ("completed", finished - failed, 1, 0),
            ("failed", failed, 1, 0),
            ("scheduled", future, 0, 2 * DAY),
            ("ready", ready, 0, 0),
        )
    ):
        values = {
            "kind": kind,
            "state": state,
            "jobs": jobs,
            "ended": ended,
            "later": later,
            "first": now - (jobs + 1000) * 1000,
            "queue": QUEUE,
            "name": name,
        }
        connection.execute(_INSERT, values)
        if jobs and state != "ready":
            connection.execute(_COUNT, values)
    connection.execute("commit")
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
