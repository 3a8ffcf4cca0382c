"""Slots: running a script on the two keys of a queue, which are in one slot.

Every script gets the queue's name, the clock's offset and the calling process before its own arguments.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from goose_queues.clock import Clock
from goose_queues.ids import new_id
from goose_queues.stores.moment import span
from goose_queues.stores.redis.errors import AnswerLost
from goose_queues.stores.redis.scripts import script
from goose_queues.stores.redis.servers import Run, Servers
from goose_queues.stores.redis.steps import Arg


class Slots:
    """The queues of one prefix.

    Args:
        servers: Where they are.
        prefix: What the names of all keys begin with.
        clock: Its offset is added to the server's own time.
    """

    def __init__(self, servers: Servers, prefix: str, clock: Clock) -> None:
        self.servers: Final = servers
        self.prefix: Final = prefix
        self.caller: Final = new_id()
        """What this process calls itself to others."""
        self._clock = clock
        self._known: dict[str, None] = {}

    @property
    def names(self) -> str:
        """The key under which the names of all queues are."""
        return f"{self.prefix}queues"

    @property
    def channels(self) -> str:
        """A pattern for the channels of all queues: ``<prefix>{<queue>}:<word>``."""
        return f"{self.prefix}{{*}}:*"

    def queue_of(self, channel: str) -> str:
        """The queue of a channel."""
        return channel[len(self.prefix) + 1 : channel.rindex("}")]

    @property
    def known(self) -> tuple[str, ...]:
        """The queues that have been heard of."""
        return tuple(self._known)

    async def look(self) -> tuple[str, ...]:
        """Every queue that there is; those that this process knows are written down, should somebody have lost them."""
        found: Sequence[str] = await self.servers.command("HKEYS", self.names)
        lost, self._known = set(self._known).difference(found), dict.fromkeys(sorted(filter(None, found)))
        await self.know(lost)
        return self.known

    async def know(self, queues: Iterable[str]) -> None:
        """Have these found by everybody, before something is stored in them."""
        if not (new := set(queues).difference(self._known)):
            return
        for queue in sorted(new):
            await self._write_down(queue)
        self._known |= dict.fromkeys(sorted(new))

    async def _write_down(self, queue: str) -> None:
        words = ("HSETNX", self.names, queue, int(time.time()))
        try:
            await self.servers.command(*words)
        except AnswerLost:
            # Twice is as good as once.
            await self.servers.command(*words)

    async def run(self, queue: str, name: str, *args: Arg) -> Any:
        """Run a script on one queue."""
        return await self.servers.run(self._run(queue, name, args))

    async def run_on_all(self, queues: Sequence[str], name: str, *args: Arg) -> Mapping[str, Any]:
        """Run it on each of these, side by side; what it gave for each."""
        answers = await self.servers.run_all([self._run(queue, name, args) for queue in queues])
        return dict(zip(queues, answers, strict=True))

    def run_blocking(self, queue: str, name: str, *args: Arg, timeout: float) -> Any:
        """Run it from any thread."""
        return self.servers.run_blocking(self._run(queue, name, args), timeout=timeout)

    def _run(self, queue: str, name: str, args: Sequence[Arg]) -> Run:
        base = f"{self.prefix}{{{queue}}}"
        offset = span(self._clock.offset)
        return Run(script(name), (f"{base}:index", f"{base}:data"), (queue, offset, self.caller, *args))
