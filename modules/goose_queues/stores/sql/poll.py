"""Looking at a server again and again for what other processes have stored, where it cannot call.

One look for the whole process, and rarer the longer nothing was new: a job comes late by a tenth of the time that its
queue had been quiet, and never by more than a part of ``poll_interval``. ``wakeup`` runs one of these while somebody
listens; on PostgreSQL it rests as long as ``listener`` hears.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from goose_queues.stores.sql.fronts import Fronts, fronts, news
from goose_queues.stores.sql.statement import Layout
from goose_sql import Database
from goose_sql.errors import DatabaseClosed, DatabaseUnavailable

log = logging.getLogger("goose_queues.wakeup")

QUICK: Final = 0.02
"""Seconds between two looks while there is something new all the time."""
SHARE: Final = 0.1
"""Of the time without news, so much until the next look."""
PART: Final = 0.2
"""Of ``poll_interval``, so much at most until the next look."""
AGAIN: Final = 1.0
"""Seconds until the next look after one that failed."""


class Poll:
    """The looks of one process.

    Args:
        database: Where the jobs are.
        layout: Of the queue's tables.
        tell: Gets the queues with news.
        interval: How often each worker claims all the same, in seconds.
    """

    def __init__(
        self, database: Database, layout: Layout, tell: Callable[[frozenset[str]], None], interval: float
    ) -> None:
        self._database = database
        self._layout = layout
        self._tell = tell
        self._longest = max(interval * PART, QUICK)
        self._queues: tuple[str, ...] = ()
        self._seen: Fronts = {}
        self._busy_at = time.monotonic()

    def add(self, queue: str) -> None:
        """Look at this queue too: somebody here claims from it."""
        if queue not in self._queues:
            self._queues = (*self._queues, queue)

    def hurry(self) -> None:
        """Something has been stored here, so that more may come; from any thread."""
        self._busy_at = time.monotonic()

    async def run(self, is_needed: Callable[[], bool]) -> None:
        """Look until cancelled, or until the database is closed, whenever that is needed."""
        while True:
            pause = self._pause()
            if is_needed():
                try:
                    await self.look()
                except DatabaseClosed:
                    return
                except DatabaseUnavailable:
                    # The workers' claims meet the same, and say so.
                    pause = AGAIN
                except Exception:
                    log.exception("Looking for new jobs failed; it is tried again")
                    pause = AGAIN
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Tell of what has changed since the last look."""
        before = self._seen
        self._seen = await self._database.read(self._look, single=True)
        changed = news(before, self._seen)
        if changed:
            self.hurry()
            self._tell(changed)

    async def look_anew(self) -> None:
        """Tell of everything that there is."""
        self._seen = {}
        await self.look()

    def _look(self, connection: Connection) -> Fronts:
        return fronts(connection, self._layout, self._queues)

    def _pause(self) -> float:
        return min(max((time.monotonic() - self._busy_at) * SHARE, QUICK), self._longest)
