"""A few threads that read from a SQLite file, each read seeing one moment of it and never waiting for a writer.

``database`` makes one pool for each open. Also here: the change counter, for who watches a file for news.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy.engine import Connection

from goose_sql.calls import Call, deliver_all
from goose_sql.errors import DatabaseClosed
from goose_sql.lent import is_usable, lent
from goose_sql.sqlite import SqliteFile

MOST_READERS: Final = 4


class Readers:
    """Reading threads, started as they are needed."""

    def __init__(self, file: SqliteFile, url: str, explain: Callable[[BaseException], BaseException]) -> None:
        self._file = file
        self._url = url
        self._explain = explain
        self._line: queue.SimpleQueue[Call[Any] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._free = 0
        """Threads that wait, less the calls that are on their way to them; below zero: all are busy."""
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, call: Call[Any]) -> None:
        """Have an operation read; from any thread.

        Raises:
            DatabaseClosed: The pool takes nothing more.
        """
        with self._gate:
            if self._closed:
                raise DatabaseClosed(self._url)
            if self._free <= 0 and len(self._threads) < MOST_READERS:
                self._start()
            self._free -= 1
        self._line.put(call)

    def close(self) -> None:
        """Take nothing more; what is queued is still read. ``join`` waits for that."""
        with self._gate:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._line.put(None)

    def join(self) -> None:
        """Block until the threads have ended."""
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        name = f"goose-sql-reader {self._file.path.name} {len(self._threads)}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._threads.append(thread)
        self._free += 1
        thread.start()

    # --- everything below runs in a reader's thread

    def _run(self) -> None:
        reader: _Reader | None = None
        while (call := self._line.get()) is not None:
            try:
                reader = reader or _Reader(self._file)
                if call.begin():
                    call.returned(reader.read(call.operation))
            except BaseException as error:  # noqa: BLE001 - the caller gets it
                call.failed(self._explain(error))
            with self._gate:
                self._free += 1
            deliver_all((call,))
            del call
        if reader is not None:
            reader.close()


class _Reader:
    """One connection that only reads."""

    def __init__(self, file: SqliteFile) -> None:
        self._raw = file.connect_reader()
        self._connection = lent(self._raw)

    def read(self, operation: Callable[[Connection], Any]) -> Any:
        """Run an operation on one snapshot, which ends with it."""
        if not is_usable(self._connection):
            self._connection.close()
            self._connection = lent(self._raw)
        self._raw.execute("BEGIN")
        try:
            return operation(self._connection)
        finally:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()
        self._raw.close()


class ChangeCounter:
    """A number that changes whenever anyone, in any process, has committed to the file; costs microseconds to ask.

    Two equal answers in a row mean that nothing was committed in between. The value itself means nothing. It may be
    asked from any thread, also from an event loop's: it touches no disk in the ordinary case.
    """

    def __init__(self, file: SqliteFile, url: str) -> None:
        self._url = url
        self._gate = threading.Lock()
        self._raw: sqlite3.Connection | None = file.connect_reader()

    def __call__(self) -> int:
        """The number now.

        Raises:
            DatabaseClosed: The counter or its database was closed.
        """
        with self._gate:
            if self._raw is None:
                raise DatabaseClosed(self._url)
            return int(self._raw.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Let go of its connection; idempotent. The database's own ``close`` does it as well."""
        with self._gate:
            if self._raw is not None:
                self._raw.close()
                self._raw = None
