"""Telling workers that there may be something to claim: at once for this process, by what Redis publishes for others.

``store`` owns one of these. One connection of each process waits for messages; nothing is asked while nothing comes. A
message is a hint, and one that is lost costs no more than the workers' own interval of looking.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from goose_queues.errors import QueueError
from goose_queues.stores.hearers import Hearer, Hearers
from goose_queues.stores.redis.slots import Slots

log = logging.getLogger("goose_queues.wakeup")

RETRY_FIRST: Final = 0.1
RETRY_LAST: Final = 2.0
"""Seconds until a connection that broke is made anew: doubling from the first to the last, with jitter."""
OFTENER: Final = 5
"""How many times as often workers look while they cannot be told."""
RECENTLY: Final = 5.0
"""Seconds for which cancelled jobs are looked for, once somebody has cancelled one; and between two looks without that."""


class Wakeup:
    """Who wants to hear of new work, and the task that listens on their behalf.

    Args:
        slots: Whose channels are listened to.
        poll_interval: How often each worker claims without having been told, in seconds.
    """

    def __init__(self, slots: Slots, poll_interval: float) -> None:
        self._slots = slots
        self._interval = poll_interval / OFTENER
        self._hearers: Final = Hearers(self._start, self._stop)
        self._claimed: set[str] = set()
        self._is_open = False
        self._hears = False
        self._asked_until = 0.0
        self._looked_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def subscribe(self, hearer: Hearer) -> Callable[[], None]:
        """Call ``hearer`` from now on; return what ends that. On the event loop of ``open``, as is its end."""
        return self._hearers.add(hearer)

    def claims(self, queue: str) -> None:
        """Somebody here claims from this queue, and so would like to hear of it."""
        self._claimed.add(queue)

    def tell(self, queues: frozenset[str]) -> None:
        """Tell everyone here; others are told by the script that brought the news."""
        self._hearers.tell(queues)

    def may_be_asked(self) -> bool:
        """Whether somebody may have asked running jobs to end since this was last asked."""
        now = time.monotonic()
        if self._hears and now > self._asked_until and now - self._looked_at < RECENTLY:
            return False
        self._looked_at = now
        return True

    def open(self) -> None:
        """Listen from here on, on the running event loop, once somebody wants to hear."""
        self._is_open = True
        if self._hearers:
            self._start()

    async def close(self) -> None:
        """Listen no more."""
        self._is_open = False
        tasks = self._tasks
        self._stop()
        if tasks:
            await asyncio.wait(tasks)

    def _start(self) -> None:
        if self._is_open and not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self._listen_on(), name="goose-queues-listener"),
                loop.create_task(self._look_on(), name="goose-queues-look"),
            ]

    def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        self._hears = False
        for task in tasks:
            task.cancel()

    async def _listen_on(self) -> None:
        retry = RETRY_FIRST
        while True:
            began = time.monotonic()
            try:
                await self._slots.servers.listen(self._slots.channels, self._heard, self._ready)
            except QueueError as error:
                if self._hears or retry == RETRY_FIRST:
                    log.warning("nothing is heard of new jobs, so they are looked for: %s", error)
            self._hears = False
            if time.monotonic() - began > RETRY_LAST:
                retry = RETRY_FIRST
            await asyncio.sleep(retry * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            retry = min(retry * 2, RETRY_LAST)

    async def _look_on(self) -> None:
        """While nothing is heard, somebody has to look."""
        while True:
            await asyncio.sleep(self._interval)
            if not self._hears:
                self._hearers.tell(frozenset(self._claimed))

    def _ready(self) -> None:
        self._hears = True
        self._asked_until = time.monotonic() + RECENTLY
        # What has come since the connection broke was not heard of.
        self._hearers.tell(frozenset(self._claimed))

    def _heard(self, channel: str, message: str) -> None:
        if channel.endswith(":ends"):
            self._asked_until = time.monotonic() + RECENTLY
        elif message != self._slots.caller:
            self._hearers.tell(frozenset({self._slots.queue_of(channel)}))
