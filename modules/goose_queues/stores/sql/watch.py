"""Watching a SQLite file for commits of other processes: it has nobody who could call.

A counter that changes with every commit is asked every few milliseconds. Only then is the file itself read. ``wakeup``
runs one of these while somebody listens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

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


class Watch:
    """The watch on one file.

    Args:
        database: Whose file it is.
        layout: Of the queue's tables.
        now: The store's time, as it is stored.
        tell: Gets the queues with news.
    """

    def __init__(
        self, database: Database, layout: Layout, now: Callable[[], int], tell: Callable[[frozenset[str]], None]
    ) -> None:
        self._database = database
        self._layout = layout
        self._now = now
        self._tell = tell
        self._soonest: Mapping[str, float] = {}

    async def run(self) -> None:
        """Watch until cancelled, or until the database is closed."""
        counter = self._database.change_counter()
        seen, quiet = None, 0.0
        try:
            while True:
                pause = QUICK if quiet < LONG else SLOW
                try:
                    now = counter()
                    quiet = quiet + pause if now == seen else 0.0
                    if now != seen:
                        self._tell(await read(self._database, self._news))
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
