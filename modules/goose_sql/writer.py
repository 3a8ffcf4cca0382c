"""The one thread of this process that writes to a SQLite file, whole transactions at a time.

Everything that is queued when the thread looks becomes one transaction with one commit (group commit): fifty
operations awaited at once cost one fsync. Each keeps its own fate by a savepoint of its own. ``database`` makes one
writer for each open.
"""

from __future__ import annotations

import concurrent.futures
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sqlalchemy.engine import Connection

from goose_sql.calls import Call, deliver_all
from goose_sql.errors import DatabaseBusy, DatabaseClosed
from goose_sql.lent import is_usable, lent
from goose_sql.sqlite import SqliteFile, is_busy
from goose_sql.turnstile import Turnstile

LARGEST_GROUP: Final = 1024
"""Operations in one transaction at most, so that the line behind it keeps moving."""


class Writer:
    """Runs operations in the order of their coming, urgent ones first, and answers after their commit."""

    def __init__(
        self, file: SqliteFile, turnstile: Turnstile, url: str, explain: Callable[[BaseException], BaseException]
    ) -> None:
        self._file = file
        self._turnstile = turnstile
        self._url = url
        self._explain = explain
        self._line: queue.SimpleQueue[Call[Any] | None] = queue.SimpleQueue()
        """Holds None as a mere signal: something urgent has come, or the writer is closed."""
        self._urgent: deque[Call[Any]] = deque()
        self._gate = threading.Lock()
        self._closed = False
        self._opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name=f"goose-sql-writer {file.path.name}", daemon=True)

    def start(self) -> concurrent.futures.Future[None]:
        """Start the thread; the future tells when the file is open, or why not."""
        self._thread.start()
        return self._opened

    def submit(self, call: Call[Any]) -> None:
        """Put an operation in the line; from any thread.

        Raises:
            DatabaseClosed: The writer takes nothing more.
        """
        with self._gate:
            if self._closed:
                raise DatabaseClosed(self._url)
            if call.urgent:
                self._urgent.append(call)
                self._line.put(None)
            else:
                self._line.put(call)

    def close(self) -> None:
        """Take nothing more; what is queued is still written. ``join`` waits for that."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._line.put(None)

    def join(self) -> None:
        """Block until the thread has ended."""
        self._thread.join()

    # --- everything below runs in the writer's thread

    def _run(self) -> None:
        # From here on the future cannot be cancelled: whoever opens may well be.
        self._opened.set_running_or_notify_cancel()
        try:
            self._file.prepare()
            raw = self._file.connect()
        except BaseException as error:  # noqa: BLE001 - whoever opens gets it
            self._opened.set_exception(self._explain(error))
            return
        self._opened.set_result(None)
        transaction = _Transaction(raw, self._explain)
        try:
            while group := self._next_group():
                try:
                    self._write(raw, transaction, group)
                except BaseException as error:  # noqa: BLE001 - a failing disk must not end the thread
                    _fail(group, partial(self._explain, error))
                deliver_all(group)
                # Not kept until the next group comes: an error holds on to the frames of its caller.
                del group
        finally:
            transaction.close()
            raw.close()

    def _next_group(self) -> list[Call[Any]]:
        """Everything that waits now, urgent first; at least one; empty when the writer is closed and done."""
        group: list[Call[Any]] = []
        while not group and not (self._closed and self._line.empty()):
            self._fill(group)
            urgent = [self._urgent.popleft() for _ in range(len(self._urgent))]
            group = [*urgent, *group]
        return group

    def _fill(self, group: list[Call[Any]]) -> None:
        call = self._line.get()
        while True:
            if call is not None:
                group.append(call)
            if len(group) >= LARGEST_GROUP:
                return
            try:
                call = self._line.get_nowait()
            except queue.Empty:
                return

    def _write(self, raw: sqlite3.Connection, transaction: _Transaction, group: list[Call[Any]]) -> None:
        """Do one group: take the turn, begin, operate, commit. Failures end up in the calls."""
        if not self._turnstile.enter_blocking(self._file.busy_timeout, first=group[0].urgent):
            _fail(group, self._busy)
            return
        try:
            self._file.begin(raw)
            transaction.run(group)
            if raw.in_transaction:
                raw.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the callers get it
            _fail(group, self._busy if is_busy(error) and not raw.in_transaction else partial(self._explain, error))
        finally:
            try:
                _roll_back(raw)
            finally:
                self._turnstile.leave()

    def _busy(self) -> DatabaseBusy:
        return DatabaseBusy(self._url, self._file.busy_timeout)


class _Transaction:
    """The operations of one group, each keeping or losing its own changes."""

    def __init__(self, raw: sqlite3.Connection, explain: Callable[[BaseException], BaseException]) -> None:
        self._raw = raw
        self._explain = explain
        self._connection: Connection = lent(raw)

    def run(self, group: list[Call[Any]]) -> None:
        """Run every operation.

        Raises:
            BaseException: The database has given the whole transaction up; nothing of it is kept.
        """
        if len(group) == 1:
            self._run_one(group[0], "ROLLBACK")
            return
        for call in group:
            self._raw.execute("SAVEPOINT goose_operation")
            self._run_one(call, "ROLLBACK TO goose_operation")
            self._raw.execute("RELEASE goose_operation")

    def close(self) -> None:
        self._connection.close()

    def _run_one(self, call: Call[Any], undo: str) -> None:
        if not call.begin():
            return
        try:
            call.returned(self._operate(call.operation))
        except BaseException as error:
            if not self._raw.in_transaction:
                # SQLite rolls back by itself when the disk is full or fails, and takes the others along.
                raise
            self._raw.execute(undo)
            call.failed(self._explain(error))

    def _operate(self, operation: Callable[[Connection], Any]) -> Any:
        if not is_usable(self._connection):
            self._connection.close()
            self._connection = lent(self._raw)
        result = operation(self._connection)
        if not self._raw.in_transaction:
            raise RuntimeError("an operation ended the transaction that it was run in")
        return result


def _fail(group: list[Call[Any]], error: Callable[[], BaseException]) -> None:
    for call in group:
        # One of its own for each: whoever raises an error adds to its traceback.
        call.failed(error())


def _roll_back(raw: sqlite3.Connection) -> None:
    if raw.in_transaction:
        raw.execute("ROLLBACK")
