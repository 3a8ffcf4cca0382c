"""Telling other processes by PostgreSQL's NOTIFY which queues have news: after the commit, and many at a time.

Inside the inserts' transactions it would let only one of them commit at a time. ``wakeup`` owns one of these.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import Connection, text

from goose_queues.redact import one_line
from goose_queues.stores.sql.channel import written
from goose_sql import Database

log = logging.getLogger("goose_queues.wakeup")

GAP: Final = 0.005
"""Seconds from one notification to the next: what comes up meanwhile goes with that one."""
LAST: Final = 2.0
"""Seconds for the last one, when the store is closed."""

_NOTIFY: Final = text("SELECT pg_notify(:channel, :payload)")


class Announcer:
    """The notifications of one process, sent on the running event loop by a pooled connection.

    Args:
        database: Whose server passes them on.
        channel: Finds the channel's name.
        sender: What this process calls itself there.
    """

    def __init__(self, database: Database, channel: Callable[[], Awaitable[str]], sender: str) -> None:
        self._database = database
        self._channel = channel
        self._sender = sender
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._news: frozenset[str] = frozenset()
        self._sending: asyncio.Task[None] | None = None
        self._failed = False

    def tell(self, queues: frozenset[str]) -> None:
        """Send this soon; from any thread, after the commit that brought the news."""
        with self._lock:
            is_first, self._news = not self._news, self._news | queues
        if is_first:
            try:
                self._loop.call_soon_threadsafe(self._start)
            except RuntimeError:
                return  # The loop has been closed: polling has to do.

    async def close(self) -> None:
        """Send what has not been sent."""
        self._start()
        sending = self._sending
        if sending is not None:
            await asyncio.wait((sending,), timeout=LAST)
            sending.cancel()

    async def send(self, channel: str, payload: str) -> None:
        """Send one notification, in a transaction of its own."""

        def notify(connection: Connection) -> None:
            connection.execute(_NOTIFY, {"channel": channel, "payload": payload})

        await self._database.write(notify, single=True)

    def _start(self) -> None:
        if self._sending is None and self._news:
            self._sending = asyncio.get_running_loop().create_task(self._send_all(), name="goose-queues-announcer")

    async def _send_all(self) -> None:
        try:
            while queues := self._take():
                await self._send(queues)
                await self._rest()
        finally:
            self._sending = None

    async def _rest(self) -> None:
        await asyncio.sleep(GAP)

    def _take(self) -> frozenset[str]:
        with self._lock:
            queues, self._news = self._news, frozenset()
        return queues

    async def _send(self, queues: frozenset[str]) -> None:
        """Send once, and once more where the connection was broken; after that others have to poll for it."""
        for is_last in (False, True):
            try:
                channel = await self._channel()
                for payload in written(self._sender, queues):
                    await self.send(channel, payload)
            except Exception as error:  # noqa: BLE001 - a hint, and nobody awaits this: the log has it
                if is_last and not self._failed:
                    self._failed = True
                    log.warning(
                        "Other processes could not be told of new jobs; those that look find them: %s",
                        one_line(str(error)),
                    )
            else:
                self._failed = False
                return
