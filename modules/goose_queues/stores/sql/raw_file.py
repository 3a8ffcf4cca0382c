"""A SQLite file's own limit: the standard library's sqlite3 and one plain table, with no queue around it.

Used by ``goose queue bench``, and by the project's own benchmarks. Everything blocks.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from goose_sql.sqlite import Synchronous

Row: TypeAlias = tuple[str, str, int, float, str]

_SYNCHRONOUS: Final[dict[Synchronous, str]] = {"full": "pragma synchronous=full", "normal": "pragma synchronous=normal"}

_serial = itertools.count()
"""Their public ids grow with time, as UUIDv7 do: neighbours in time are neighbours in the file."""


def connect(file: Path, synchronous: Synchronous = "full") -> sqlite3.Connection:
    """Open a new file with the table, in WAL mode, as durable as the queue is; for any thread, one at a time."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode=wal")
    connection.execute(_SYNCHRONOUS[synchronous])
    connection.executescript(
        """
        create table job (
            id integer primary key,
            uid text not null unique,
            status text not null default 'pending',
            queue text not null,
            priority integer not null,
            due_at real not null,
            payload text not null,
            attempt integer not null default 0,
            token text,
            leased_until real,
            finished_at real
        );
        create index job_due on job (queue, priority desc, due_at, id) where status = 'pending';
        """
    )
    return connection


def row(payload: str) -> Row:
    """A waiting job as its row."""
    return (f"{next(_serial):036x}", "default", 1, time.time(), payload)


def insert(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert in one transaction."""
    connection.execute("begin immediate")
    connection.executemany("insert into job (uid, queue, priority, due_at, payload) values (?, ?, ?, ?, ?)", rows)
    connection.execute("commit")


def claim(connection: sqlite3.Connection, count: int, token: str) -> list[tuple[int, str]]:
    """Claim in one transaction; gives id and payload."""
    now = time.time()
    connection.execute("begin immediate")
    claimed = connection.execute(
        """
        update job set status = 'processing', attempt = attempt + 1, token = ?, leased_until = ? where id in (
            select id from job where status = 'pending' and queue = 'default' and due_at <= ?
            order by priority desc, due_at, id limit ?
        ) returning id, payload
        """,
        (token, now + 30, now, count),
    ).fetchall()
    connection.execute("commit")
    return claimed


def complete(connection: sqlite3.Connection, ids: Iterable[int], token: str) -> None:
    """Complete in one transaction."""
    now = time.time()
    connection.execute("begin immediate")
    connection.executemany(
        "update job set status = 'completed', token = null, finished_at = ? where id = ? and token = ?",
        [(now, job_id, token) for job_id in ids],
    )
    connection.execute("commit")
