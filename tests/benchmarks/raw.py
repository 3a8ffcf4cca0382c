"""The store's own limit: the standard library's sqlite3 and one plain table, with no queue around it."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from .measure import text_for

Row: TypeAlias = tuple[str, str, int, float, str]

_SCHEMA = """
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
_INSERT = "insert into job (uid, queue, priority, due_at, payload) values (?, ?, ?, ?, ?)"
_CLAIM = """
update job set status = 'processing', attempt = attempt + 1, token = ?, leased_until = ? where id in (
    select id from job where status = 'pending' and queue = 'default' and due_at <= ?
    order by priority desc, due_at, id limit ?
) returning id, payload
"""
_COMPLETE = "update job set status = 'completed', token = null, finished_at = ? where id = ? and token = ?"

_serial = itertools.count()
"""Their public ids grow with time, as UUIDv7 do: neighbours in time are neighbours in the file."""


def connect(file: Path) -> sqlite3.Connection:
    """Open a new file with the table, as durable as everyone else's: WAL and synchronous=FULL."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.executescript(_SCHEMA)
    return connection


def row(number: int) -> Row:
    """A waiting job as its row."""
    payload = json.dumps({"number": number, "text": text_for(number)}, separators=(",", ":"))
    return (f"{next(_serial):036x}", "default", 1, time.time(), payload)


def insert(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert in one transaction."""
    connection.execute("begin immediate")
    connection.executemany(_INSERT, rows)
    connection.execute("commit")


def claim(connection: sqlite3.Connection, count: int, token: str) -> list[tuple[int, str]]:
    """Claim in one transaction; gives id and payload."""
    now = time.time()
    connection.execute("begin immediate")
    claimed = connection.execute(_CLAIM, (token, now + 30, now, count)).fetchall()
    connection.execute("commit")
    return claimed


def complete(connection: sqlite3.Connection, ids: Iterable[int], token: str) -> None:
    """Complete in one transaction."""
    now = time.time()
    connection.execute("begin immediate")
    connection.executemany(_COMPLETE, [(now, job_id, token) for job_id in ids])
    connection.execute("commit")
