"""Telling workers that there may be something to claim: at once for this process, within moments for others.

SQLite has nobody who could call, so the file is watched: a counter that changes with every commit, asked every few
milliseconds. Only then is the file itself read. ``store`` owns one of these.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from sqlalchemy import Connection

from goose_queues.stores.sql.read import ready_queues, soonest
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.unreadable import read
from goose_sql import Database
from goose_sql.errors import DatabaseClosed

log = logging.getLogger("goose_queues.wakeup")

QUICK: Final = 0.02
"""Seconds between two looks."""
SLOW: Final = 0.2
"""The same after a long time without a commit."""
LONG: Final = 60.0
"""Seconds without a commit after which nobody is expected soon."""
AGAIN: Final = 1.0
"""Seconds until the next look after one that failed."""

Listener: TypeAlias = Callable[[frozenset[str]], None]


class Wakeup:
    """Who wants to hear of new work, and the task that watches the file for them.

    Args:
        database: Whose file is watched.
        layout: Of the queue's tables.
        now: The store's time, as it is stored.
    """

    def __init__(self, database: Database, layout: Layout, now: Callable[[], int]) -> None:
        self._database = database
        self._layout = layout
        self._now = now
        self._listeners: dict[object, Listener] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: asyncio.Task[None] | None = None
        self._soonest: Mapping[str, float] = {}

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` from now on; return what ends that."""
        key = object()
        self._listeners[key] = listener
        self._start()

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    def tell(self, queues: frozenset[str]) -> None:
        """Tell everyone; from any thread, after the commit that brought the news."""
        if not queues:
            return
        for listener in list(self._listeners.values()):
            try:
                listener(queues)
            except Exception:
                log.exception("A listener for new jobs failed")

    def open(self) -> None:
        """Watch from here on, on the running event loop, once somebody listens."""
        self._loop = asyncio.get_running_loop()
        if self._listeners:
            self._start()

    async def close(self) -> None:
        """Stop watching."""
        self._loop = None
        task, self._watching = self._watching, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def _start(self) -> None:
        if self._loop is not None and self._watching is None and self._database.dialect == "sqlite":
            self._watching = self._loop.create_task(self._watch(), name="goose-queues-wakeup")

    async def _watch(self) -> None:
        counter = self._database.change_counter()
        seen, quiet = None, 0.0
        try:
            while True:
                pause = QUICK if quiet < LONG else SLOW
                try:
                    now = counter()
                    quiet = quiet + pause if now == seen else 0.0
                    if now != seen and self._listeners:
                        self.tell(await read(self._database, self._news))
                    seen = now
                except DatabaseClosed:
                    return
                except Exception:
                    log.exception("Watching the database for new jobs failed; polling goes on")
                    pause = AGAIN
                await asyncio.sleep(pause)
        finally:
            counter.close()

    def _news(self, connection: Connection) -> frozenset[str]:
        """Queues that have something to claim, and those whose next job is due sooner than at the last look."""
        before, self._soonest = self._soonest, soonest(connection, self._layout)
        sooner = {queue for queue, due in self._soonest.items() if due < before.get(queue, due + 1)}
        # Claims left alone what came due under a pause, and this commit may be the end of that.
        late = {queue for queue, due in self._soonest.items() if due <= self._now()}
        return frozenset(sooner.union(late, ready_queues(connection, self._layout)))
