"""Transactions for threads, where no event loop may be in between: a heartbeat has to beat while a handler blocks it.

``on_server`` makes one, which costs nothing before it is used first.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from goose_sql.calls import Operation
from goose_sql.errors import DatabaseClosed, DatabaseUnavailable
from goose_sql.server_engine import ServerEngine
from goose_sql.transactions import transact

T = TypeVar("T")

_NOTICE: Final = 0.5
"""Seconds for a transaction to notice that its connection is gone, before it is cancelled."""
_END: Final = 5.0
"""Seconds for what still runs when the database is closed."""


class Blocking:
    """One daemon thread with an event loop of its own, and in it an engine of exactly one connection."""

    def __init__(self, make: Callable[[], ServerEngine], url: str) -> None:
        self._make: Final = make
        self._url: Final = url
        self._lock: Final = threading.Lock()
        self._running: _Running | None = None
        self._is_closed = False

    def write(self, operation: Operation[T], *, timeout: float | None) -> T:
        """Run one whole transaction; after ``timeout`` it is given up, and its connection thrown away.

        Raises:
            DatabaseUnavailable: It did not answer in time.
        """
        given_up = threading.Event()
        future = self._submit(operation, lambda: not given_up.is_set())
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError:
            raise DatabaseClosed(self._url) from None
        except TimeoutError as error:
            if timeout is None or future.done():
                raise
            given_up.set()
            self._give_up(future)
            raise DatabaseUnavailable(self._url, f"it did not answer within {timeout:g} s.") from error

    def close(self) -> None:
        """End the thread and close its connection; blocks until that is done. Idempotent."""
        with self._lock:
            self._is_closed = True
            running, self._running = self._running, None
        if running is not None:
            running.stop()

    def _submit(self, operation: Operation[T], is_wanted: Callable[[], bool]) -> concurrent.futures.Future[T]:
        with self._lock:
            if self._is_closed:
                raise DatabaseClosed(self._url)
            if self._running is None:
                self._running = _Running(self._make())
            server, loop = self._running.server, self._running.loop
            work = transact(server, operation, single=False, is_wanted=is_wanted)
            return asyncio.run_coroutine_threadsafe(work, loop)

    def _give_up(self, future: concurrent.futures.Future[T]) -> None:
        with self._lock:
            if self._running is not None:
                self._running.loop.call_soon_threadsafe(self._running.give_up, future)


class _Running:
    """The thread while it runs."""

    def __init__(self, server: ServerEngine) -> None:
        self.server: Final = server
        self.loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._run, name="goose-sql-blocking", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; blocks until it has."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def give_up(self, future: concurrent.futures.Future[T]) -> None:
        """Have a transaction end that nobody waits for any more, at once and with its connection."""
        self.server.watch.break_off()
        self.loop.call_later(_NOTICE, future.cancel)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self.server.watch.start)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(_end(self.server))
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()


async def _end(server: ServerEngine) -> None:
    await server.watch.stop()
    server.watch.break_off()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        await asyncio.wait(left, timeout=_NOTICE)
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_END)
    await server.close()
