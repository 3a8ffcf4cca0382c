"""The hand of a test in a store: plain SQL over a driver of its own, with no code of ours. Used by ``fleet``."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil
from sqlalchemy import URL, make_url

from servers.shared import connect

Row: TypeAlias = tuple[Any, ...]

_STALE: Final = 0.11
"""Seconds after which MariaDB looks anew at which transactions there are."""


class Hand:
    """Reads and changes the rows of a SQLite file, or of a database on a server.

    Args:
        url: Of the store.
    """

    def __init__(self, url: str | URL) -> None:
        self.url: Final = make_url(url)
        self._connection: Any = None

    @property
    def file(self) -> Path | None:
        """The SQLite file; None on a server."""
        return Path(str(self.url.database)) if self.url.get_backend_name() == "sqlite" else None

    def rows(self, statement: str, *values: object) -> list[Row]:
        """Run a statement by itself, with ``%s`` for each value; what it returns.

        It must be one that may be run twice: where the server has closed the connection, it is.
        """
        if self.file is not None:
            with closing(sqlite3.connect(self.file, timeout=30)) as raw, raw:
                return list(raw.execute(statement.replace("%s", "?"), values))
        if self._connection is not None:
            try:
                return self._run(statement, values)
            except Exception:  # noqa: BLE001 - each driver has errors of its own
                self.close()
        return self._run(statement, values)

    def freeze(self, process: psutil.Process) -> float:
        """Stop a process where it stands, but not inside of a transaction; some moment before that.

        On a SQLite file nobody could write until it goes on, on a server nobody could have the rows that it has locked.
        """
        if self.file is not None:
            with closing(sqlite3.connect(self.file, timeout=30, isolation_level=None)) as raw:
                raw.execute("BEGIN IMMEDIATE")
                return _stop(process)
        while True:
            began = _stop(process)
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


def _stop(process: psutil.Process) -> float:
    began = time.time()
    process.send_signal(signal.SIGSTOP)
    while process.status() != psutil.STATUS_STOPPED:
        time.sleep(0.001)
    return began
