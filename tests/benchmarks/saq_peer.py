"""SAQ, so many jobs at once as it drains fastest with; it has no way to store many jobs at once."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from .measure import text_for
from .served import beside, work_elsewhere

SLOTS = 10
"""What it does by itself; each slot waits for its next job on a connection of its own."""


class SaqPeer:
    """Its function counts; its jobs are stored by ``enqueue``."""

    def __init__(self, queue: Any, counter: Callable[[int], None]) -> None:
        self._queue = queue
        self._counter = counter

    async def dispatch(self, number: int) -> None:
        """One call of its script."""
        await self._queue.enqueue("work", number=number, text=text_for(number))

    async def dispatch_many(self, numbers: Sequence[int]) -> None:
        """One call each, twenty at a time, as its queue has it."""
        await asyncio.gather(*(self.dispatch(number) for number in numbers))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Its worker, until the block ends."""

        async def work(context: Any, *, number: int, text: str) -> None:
            self._counter(number)

        library: Any = importlib.import_module("saq")
        worker = library.Worker(self._queue, functions=[("work", work)], concurrency=SLOTS)
        async with beside(worker.start(), lambda: worker.event.set()):  # noqa: PLW0108 - the start makes it anew
            yield

    async def unfinished(self) -> int:
        """Jobs that wait or run; those that have run are kept for ten minutes."""
        return int(await self._queue.count("incomplete"))


@asynccontextmanager
async def saq(url: str, counter: Callable[[int], None]) -> AsyncIterator[SaqPeer]:
    """Its queue."""
    library: Any = importlib.import_module("saq")
    queue = library.Queue.from_url(url)
    await queue.connect()
    # As if another worker had just looked: at its start one takes jobs for stuck that it has this moment fetched itself.
    await queue.redis.set(queue.namespace("sweep"), 1)
    try:
        yield SaqPeer(queue, counter)
    finally:
        await queue.disconnect()


if __name__ == "__main__":
    work_elsewhere(saq)
