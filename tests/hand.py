"""The hand of a test in a store: what is there, read and changed by a driver of its own, with no code of ours.

Used by ``fleet`` and ``bad_inputs``.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import psutil
from sqlalchemy import URL, make_url

from servers.shared import connect, driver_of

Row: TypeAlias = tuple[Any, ...]

_STATUSES: Final = {"ready": "pending", "scheduled": "pending", "waiting": "pending"}
_UNFINISHED: Final = (*_STATUSES, "processing")
"""The states, in the store's own words, that are no end."""
_STALE: Final = 0.11
"""Seconds after which MariaDB looks anew at which transactions there are."""


@dataclass(frozen=True, slots=True)
class Found:
    """A job as it is stored."""

    id: str
    status: str
    attempts: int
    failures: int
    deaths: int
    timeout: float | None
    payload: str
    batch: str | None
    role: str | None


class Hand(Protocol):
    """Reads and changes what is stored in one place."""

    @property
    def url(self) -> URL: ...
    def jobs(self) -> list[Found]:
        """All that are there, in no order."""
        ...

    def count(self) -> int:
        """How many there are, in whatever state."""
        ...

    def is_over(self) -> bool:
        """Whether every job has come to its end; cheap."""
        ...

    def lapse(self, *, worker: str | None = None, job: str | None = None) -> set[str]:
        """End the leases of what runs now, or of what one worker runs, or of one job; the jobs whose leases it ended."""
        ...

    def rename(self, job: str, name: str) -> None:
        """Give a job that is ready the name of another class."""

    def freeze(self, process: psutil.Process) -> float:
        """Stop a process where it stands, but so that nobody has to wait for it; some moment before that."""
        ...

    def close(self) -> None: ...


def hand_in(url: str | URL) -> Hand:
    """The hand for the store that a URL names."""
    if driver_of(url) == "redis":
        from redis_hand import RedisHand

        return RedisHand(url)
    return DatabaseHand(url)


class DatabaseHand:
    """Plain SQL, in a SQLite file or in a database on a server."""

    def __init__(self, url: str | URL) -> None:
        self.url: Final = make_url(url)
        self._connection: Any = None

    def jobs(self) -> list[Found]:
        columns = "id, state, attempts, failures, deaths, timeout, payload, batch_id, batch_role"
        found = self.rows(f"SELECT {columns} FROM goose_jobs")
        return [Found(job, _STATUSES.get(state, state), *others) for job, state, *others in found]

    def count(self) -> int:
        return int(self.rows("SELECT count(*) FROM goose_jobs")[0][0])

    def is_over(self) -> bool:
        states = ", ".join("%s" for _ in _UNFINISHED)
        return not self.rows(f"SELECT 1 FROM goose_jobs WHERE state IN ({states}) LIMIT 1", *_UNFINISHED)

    def lapse(self, *, worker: str | None = None, job: str | None = None) -> set[str]:
        running, values = "state = 'processing'", list[str]()
        for column, value in (("worker", worker), ("id", job)):
            if value is not None:
                running += f" AND {column} = %s"
                values.append(value)
        found = self.rows(f"SELECT id FROM goose_jobs WHERE {running}", *values)
        self.rows(f"UPDATE goose_jobs SET lease_until = 0 WHERE {running}", *values)
        return {job_id for (job_id,) in found}

    def rename(self, job: str, name: str) -> None:
        self.rows("UPDATE goose_jobs SET name = %s WHERE id = %s", name, job)

    def rows(self, statement: str, *values: object) -> list[Row]:
        """Run a statement by itself, with ``%s`` for each value; what it returns.

        It must be one that may be run twice: where the server has closed the connection, it is.
        """
        if self._file is not None:
            with closing(sqlite3.connect(self._file, timeout=30)) as raw, raw:
                return list(raw.execute(statement.replace("%s", "?"), values))
        if self._connection is not None:
            try:
                return self._run(statement, values)
            except Exception:  # noqa: BLE001 - each driver has errors of its own
                self.close()
        return self._run(statement, values)

    def freeze(self, process: psutil.Process) -> float:
        """Not inside of a transaction.

        On a SQLite file nobody could write until it goes on, on a server nobody could have the rows that it has locked.
        """
        if self._file is not None:
            with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as raw:
                raw.execute("BEGIN IMMEDIATE")
                return stop(process)
        while True:
            began = stop(process)
            time.sleep(_STALE)
            if not self._is_in_transaction(process):
                return began
            process.send_signal(signal.SIGCONT)
            # Stopped again at once, over and over, it would not get to the end of it before its leases have lapsed.
            while self._is_in_transaction(process):
                time.sleep(_STALE)

    def close(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None

    @property
    def _file(self) -> Path | None:
        return Path(str(self.url.database)) if self.url.get_backend_name() == "sqlite" else None

    def _run(self, statement: str, values: Iterable[object]) -> list[Row]:
        if self._connection is None:
            self._connection = connect(self.url)
        with self._connection.cursor() as cursor:
            # Without values a percent sign is one.
            cursor.execute(statement, tuple(values) or None)
            return list(cursor.fetchall()) if cursor.description else []

    def _is_in_transaction(self, process: psutil.Process) -> bool:
        ports = [line.laddr.port for line in process.net_connections("tcp") if line.status == psutil.CONN_ESTABLISHED]
        if self.url.get_backend_name() == "postgresql":
            of_lines = "SELECT count(*) FROM pg_stat_activity WHERE client_port = ANY(%s) AND xact_start IS NOT NULL"
            return bool(self.rows(of_lines, ports)[0][0])
        open_ones = (
            "SELECT host FROM information_schema.processlist WHERE command <> 'Sleep' "
            "OR id IN (SELECT trx_mysql_thread_id FROM information_schema.innodb_trx)"
        )
        return any(host.endswith(f":{port}") for (host,) in self.rows(open_ones) for port in ports)


def stop(process: psutil.Process) -> float:
    """Stop a process where it stands; some moment before that."""
    began = time.time()
    process.send_signal(signal.SIGSTOP)
    while process.status() != psutil.STATUS_STOPPED:
        time.sleep(0.001)
    return began
