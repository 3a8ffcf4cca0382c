"""Dramatiq in one process, with as many threads as its command starts in one. It has no way to store many jobs at once."""

from __future__ import annotations

import asyncio
import gc
import importlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from .contest import Figures, Trial
from .measure import Counter, rate, text_for
from .served import run_what_waits, work_elsewhere

THREADS = 8
"""Of a process, where nothing else is said; with a no-op job it is no faster with more, nor with fewer."""
QUEUE = "default"


class DramatiqPeer:
    """Its actor counts; its jobs are stored by ``send``, which blocks."""

    def __init__(self, broker: Any, actor: Any) -> None:
        self._broker = broker
        self.actor = actor

    async def dispatch(self, number: int) -> None:
        """One call of its script."""
        self.actor.send(number=number, text=text_for(number))

    async def dispatch_many(self, numbers: Sequence[int]) -> None:
        """One call for each."""
        for number in numbers:
            self.actor.send(number=number, text=text_for(number))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Its consumer's thread and those that run jobs, until the block ends."""
        worker = importlib.import_module("dramatiq").Worker(self._broker, worker_threads=THREADS)
        worker.start()
        try:
            yield
        finally:
            await asyncio.to_thread(worker.stop)

    async def unfinished(self) -> int:
        """Messages that wait or have been fetched; what has run is deleted."""
        return int(self._broker.do_qsize(QUEUE))


@asynccontextmanager
async def dramatiq(url: str, counter: Callable[[int], None]) -> AsyncIterator[DramatiqPeer]:
    """Its broker with the middleware that it has by itself."""
    library: Any = importlib.import_module("dramatiq")
    brokers: Any = importlib.import_module("dramatiq.brokers.redis")
    broker = brokers.RedisBroker(url=url)
    library.set_broker(broker)

    def work(number: int, text: str) -> None:
        counter(number)

    try:
        yield DramatiqPeer(broker, library.actor(queue_name=QUEUE, broker=broker)(work))
    finally:
        broker.close()


def dispatch_together(trial: Trial, callers: int) -> Figures:
    """So many threads that dispatch; every job then runs, untimed."""

    async def measure() -> Figures:
        counter = Counter(trial.size)
        async with dramatiq(trial.url, counter) as peer:

            def caller(first: int) -> None:
                for number in range(first, trial.size, callers):
                    peer.actor.send(number=number, text=text_for(number))

            gc.collect()
            with ThreadPoolExecutor(callers) as threads:
                started = time.perf_counter()
                for done in [threads.submit(caller, first) for first in range(callers)]:
                    done.result()
                seconds = time.perf_counter() - started
            await run_what_waits(peer, counter)
        return rate(trial.size, seconds)

    return asyncio.run(measure())


if __name__ == "__main__":
    work_elsewhere(dramatiq)
