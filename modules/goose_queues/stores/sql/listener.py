"""Hearing by PostgreSQL's LISTEN what other processes have stored, on one connection of the process's own.

It is made anew when it breaks, asked now and then whether it still hears, and given up for polling where something
between the server and this process does not pass notifications on. ``wakeup`` runs one of these while somebody listens.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from sqlalchemy import URL

from goose_queues.patience import RETRY_FIRST, RETRY_LAST
from goose_queues.redact import one_line
from goose_queues.stores.sql.channel import understood
from goose_queues.stores.sql.ear import Ear, engine_for_ears, open_ear
from goose_sql.errors import DatabaseClosed
from goose_sql.urls import without_secrets

log = logging.getLogger("goose_queues.wakeup")

CHECKED: Final = 10.0
"""Seconds until a connection is asked again whether it still hears."""
PROBE: Final = 3.0
"""Seconds for a notification of one's own to come back."""


class Deaf(Exception):
    """Notifications do not get here, and never will."""


class Listener:
    """The ear of one process.

    Args:
        url: The server's, with a driver.
        channel: Finds the channel's name.
        sender: What this process calls itself there.
        send: Sends a notification by another connection: the channel, the payload.
        tell: Gets the queues with news.
        look: Tells of everything that there is, which may have been missed.
    """

    def __init__(
        self,
        url: URL,
        *,
        channel: Callable[[], Awaitable[str]],
        sender: str,
        send: Callable[[str, str], Awaitable[None]],
        tell: Callable[[frozenset[str]], None],
        look: Callable[[], Awaitable[None]],
    ) -> None:
        self._url = url
        self._channel = channel
        self._sender = sender
        self._send = send
        self._tell = tell
        self._look = look
        self.hears = False
        """Whether notifications arrive; while they do not, somebody has to poll."""

    async def run(self) -> None:
        """Listen until cancelled, until the database is closed, or until it is clear that nothing gets here."""
        engine = engine_for_ears(self._url)
        if engine is None:
            driver = self._url.get_driver_name()
            log.warning(
                "The driver %s cannot listen for new jobs: polling. Use psycopg or asyncpg to hear of them at once",
                driver,
            )
            return
        wait, silent = RETRY_FIRST, False
        while True:
            try:
                async with open_ear(engine) as ear:
                    channel = await self._channel()
                    await self._begin(ear, channel)
                    if silent:
                        log.info("Notifications of new jobs arrive again")
                    wait, silent = RETRY_FIRST, False
                    await self._hear(ear, channel)
            except Deaf:
                log.warning(
                    "PostgreSQL's notifications do not get here, as through a pooler in transaction mode: polling. "
                    "To start jobs of other processes at once, let listen_url lead past the pooler to the server"
                )
                return
            except DatabaseClosed:
                return
            except Exception as error:  # noqa: BLE001 - each driver has errors of its own, and all mean the same
                if not silent:
                    reason = one_line(without_secrets(str(error) or type(error).__name__, self._url))
                    log.warning("Notifications of new jobs do not arrive; polling until they do: %s", reason)
                silent = True
            finally:
                self.hears = False
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
            wait = min(wait * 2, RETRY_LAST)

    async def _begin(self, ear: Ear, channel: str) -> None:
        """Listen, then look for what was missed until then."""
        await self._probe(ear)
        await ear.listen(channel)
        self.hears = True
        await self._look()

    async def _probe(self, ear: Ear) -> None:
        """Have a notification of another connection arrive here, on a channel of no other use.

        A pooler may leave this connection's LISTEN with whoever gets its server connection next.

        Raises:
            Deaf: There is a pooler, and it does not arrive.
            ConnectionError: It does not arrive although nothing is between.
        """
        probe = f"goose_probe_{uuid.uuid4().hex}"
        await ear.listen(probe)
        sending = asyncio.ensure_future(self._send(probe, probe))
        try:
            arrived = await self._arrives(ear, probe)
            if not arrived and not sending.done():
                raise ConnectionError("no notification could be sent in time")
            await sending
        finally:
            sending.cancel()
            with suppress(Exception):
                await ear.unlisten(probe)
        if not arrived:
            if await ear.is_direct():
                raise ConnectionError("a notification did not arrive")
            raise Deaf

    async def _arrives(self, ear: Ear, probe: str) -> bool:
        end = time.monotonic() + PROBE
        while (left := end - time.monotonic()) > 0:
            if probe in await ear.heard(left):
                return True
        return False

    async def _hear(self, ear: Ear, channel: str) -> None:
        checked = time.monotonic()
        while True:
            for payload in await ear.heard(CHECKED):
                sender, queues = understood(payload)
                if sender != self._sender:
                    self._tell(queues)
            if time.monotonic() - checked >= CHECKED:
                if not await ear.hears(channel):
                    raise ConnectionError("the server has forgotten that somebody listens")
                checked = time.monotonic()
