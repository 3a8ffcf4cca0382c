"""taskiq on streams of Redis, a hundred jobs at once, which is what it does by itself; it has no way to store many at once."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from .measure import text_for
from .served import beside, work_elsewhere

GROUP = "taskiq"
STREAM = "taskiq"


class TaskiqPeer:
    """Its task counts; its jobs are stored by ``kiq``."""

    def __init__(self, broker: Any, task: Any) -> None:
        self._broker = broker
        self._task = task
        self._redis: Any = importlib.import_module("redis.asyncio").Redis(connection_pool=broker.connection_pool)

    async def dispatch(self, number: int) -> None:
        """One entry of the stream."""
        await self._task.kiq(number=number, text=text_for(number))

    async def dispatch_many(self, numbers: Sequence[int]) -> None:
        """One entry each, as many at a time as its pool has connections."""
        await asyncio.gather(*(self.dispatch(number) for number in numbers))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Its receiver with the settings of its command, until the block ends."""
        library: Any = importlib.import_module("taskiq.receiver")
        self._broker.is_worker_process = True
        receiver = library.Receiver(self._broker, max_async_tasks=100)
        finish = asyncio.Event()
        async with beside(receiver.listen(finish), finish.set):
            yield
            # Told to stop while it looks for what others have left, it goes on for ever: let it come to its next read.
            await asyncio.sleep(0.2)

    async def unfinished(self) -> int:
        """Entries that the group has not been given, and those that it has not acknowledged."""
        groups = await self._redis.xinfo_groups(STREAM)
        return sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups)


@asynccontextmanager
async def taskiq(url: str, counter: Callable[[int], None]) -> AsyncIterator[TaskiqPeer]:
    """Its broker, without a store of results."""
    library: Any = importlib.import_module("taskiq_redis")
    broker = library.RedisStreamBroker(url, queue_name=STREAM, consumer_group_name=GROUP)

    async def work(number: int, text: str) -> None:
        counter(number)

    task = broker.task(task_name="work")(work)
    await broker.startup()
    try:
        yield TaskiqPeer(broker, task)
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    work_elsewhere(taskiq)
