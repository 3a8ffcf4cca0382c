"""Telling workers that there may be something to claim: at once for this process, within moments for others.

``store`` owns one of these. Where the news of other processes come from differs: ``watch`` on SQLite, ``listener`` on
PostgreSQL, ``poll`` on MySQL and wherever notifications do not arrive.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, Final

from sqlalchemy import URL

from goose_queues.stores.hearers import Hearer, Hearers
from goose_queues.stores.sql.announcer import Announcer
from goose_queues.stores.sql.channel import channel_name
from goose_queues.stores.sql.listener import Listener
from goose_queues.stores.sql.poll import Poll
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.watch import Watch
from goose_sql import Database


class Wakeup:
    """Who wants to hear of new work, and the tasks that look out for it on their behalf.

    Args:
        database: Where the jobs are.
        layout: Of the queue's tables.
        now: The store's time, as it is stored.
        poll_interval: How often each worker claims without having been told, in seconds.
        listen_url: PostgreSQL: where to listen, if the database's own URL leads through a pooler.
    """

    def __init__(
        self,
        database: Database,
        layout: Layout,
        now: Callable[[], int],
        *,
        poll_interval: float,
        listen_url: URL | None = None,
    ) -> None:
        self._database = database
        self._layout = layout
        self._now = now
        self._listen_url = listen_url
        self._hearers: Final = Hearers(self._start, self._stop)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        """Empty while nobody listens."""
        self._stopping: set[asyncio.Task[None]] = set()
        self._announcer: Announcer | None = None
        self._channel: str | None = None
        self._poll: Final = Poll(database, layout, self._hearers.tell, poll_interval)
        self._sender: Final = uuid.uuid4().hex

    def subscribe(self, hearer: Hearer) -> Callable[[], None]:
        """Call ``hearer`` from now on; return what ends that. On the event loop of ``open``, as is its end."""
        return self._hearers.add(hearer)

    def claims(self, queue: str) -> None:
        """Somebody here claims from this queue, and so would like to hear of it."""
        self._poll.add(queue)

    def tell(self, queues: frozenset[str]) -> None:
        """Tell everyone, here and in other processes; from any thread, after the commit that brought the news."""
        if not queues:
            return
        self._hearers.tell(queues)
        self._poll.hurry()
        if self._announcer is not None:
            self._announcer.tell(queues)

    def open(self) -> None:
        """Look out from here on, on the running event loop, once somebody listens."""
        self._loop = asyncio.get_running_loop()
        if self._layout.family == "postgresql":
            self._announcer = Announcer(self._database, self._find_channel, self._sender)
        if self._hearers:
            self._start()

    async def close(self) -> None:
        """Look out no more, and let others know what they have not been told yet."""
        self._stop()
        self._loop = self._channel = None
        if self._stopping:
            await asyncio.wait(self._stopping)
        announcer, self._announcer = self._announcer, None
        if announcer is not None:
            await announcer.close()

    def _start(self) -> None:
        if self._loop is None or self._tasks:
            return
        if self._layout.family == "sqlite":
            self._run(Watch(self._database, self._layout, self._now, self._hearers.tell).run(), "watch")
        elif self._announcer is None:
            self._run(self._poll.run(lambda: True), "poll")
        else:
            listener = Listener(
                self._listen_url or self._database.engine.url,
                channel=self._find_channel,
                sender=self._sender,
                send=self._announcer.send,
                tell=self._hearers.tell,
                look=self._poll.look_anew,
            )
            self._run(listener.run(), "listener")
            self._run(self._poll.run(lambda: not listener.hears), "poll")

    def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
            task.cancel()

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        if self._loop is not None:
            self._tasks.append(self._loop.create_task(work, name=f"goose-queues-{name}"))

    async def _find_channel(self) -> str:
        if self._channel is None:
            self._channel = await self._database.read(lambda connection: channel_name(connection, self._layout))
        return self._channel
