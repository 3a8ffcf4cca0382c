"""The queue contests, for peers that store in PostgreSQL or Redis: each says how it does five things.

A peer's own file opens it; here are the clocks, the same for all of them. They run on uvloop, as PgQueuer's and Oban's own
commands do, and taskiq's.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeVar

from .contest import BenchmarkError, Figures, Trial
from .elsewhere import elsewhere
from .measure import LIMIT, Counter, drained, percentiles, rate
from .traffic import Traffic, watched

T = TypeVar("T")

THOUSAND = 1000
"""Jobs of one call, where many are dispatched."""


class Peer(Protocol):
    """An application of the peer's on the trial's database, with one job, which counts itself."""

    async def dispatch(self, number: int) -> None:
        """Store job ``number``; it is durable when this returns."""

    async def dispatch_many(self, numbers: Sequence[int]) -> None:
        """Store all of them in one call."""

    def working(self) -> AbstractAsyncContextManager[None]:
        """Run a worker in this process, as many jobs at once as suit it best, a hundred at most."""

    async def unfinished(self) -> int:
        """How many jobs the database holds that have not come to their end."""


Opening = Callable[[str, Callable[[int], None]], AbstractAsyncContextManager[Peer]]
"""Opens a peer by the URL of an empty database and what its job calls."""


def drain(trial: Trial, opening: Opening) -> Figures:
    """From the start of the worker until the last job has run."""

    async def measure() -> Figures:
        counter = Counter(trial.size)
        async with opening(trial.url, counter) as peer:
            await fill(peer, trial.size)
            gc.collect()
            started, used = time.perf_counter(), time.process_time()
            async with peer.working():
                await asyncio.to_thread(counter.wait)
                used = time.process_time() - used
                await _until_finished(peer)
            counter.verify()
        return drained(trial.size, counter.last_at - started, used)

    return _run(measure())


def dispatch_alone(trial: Trial, opening: Opening) -> Figures:
    """One after the other."""
    return dispatch_together(trial, opening, callers=1)


def dispatch_together(trial: Trial, opening: Opening, callers: int) -> Figures:
    """So many tasks that dispatch; every job then runs, untimed."""

    async def measure() -> Figures:
        counter = Counter(trial.size)
        async with opening(trial.url, counter) as peer:

            async def caller(first: int) -> None:
                for number in range(first, trial.size, callers):
                    await peer.dispatch(number)

            gc.collect()
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for first in range(callers):
                    group.create_task(caller(first))
            seconds = time.perf_counter() - started
            await run_what_waits(peer, counter)
        return rate(trial.size, seconds)

    return _run(measure())


def dispatch_many(trial: Trial, opening: Opening) -> Figures:
    """By the thousand; every job then runs, untimed."""

    async def measure() -> Figures:
        counter = Counter(trial.size)
        async with opening(trial.url, counter) as peer:
            gc.collect()
            started = time.perf_counter()
            await fill(peer, trial.size)
            seconds = time.perf_counter() - started
            await run_what_waits(peer, counter)
        return rate(trial.size, seconds)

    return _run(measure())


def latency(trial: Trial, opening: Opening, pause: float) -> Figures:
    """From the call that dispatches to the start of the handler, in the same process."""

    async def measure() -> Figures:
        counter, started, seconds = Counter(trial.size), asyncio.Event(), list[float]()
        loop = asyncio.get_running_loop()

        def start(number: int) -> None:
            seconds.append(time.perf_counter() - called)
            counter(number)
            loop.call_soon_threadsafe(started.set)  # Dramatiq's handlers run in threads

        async with opening(trial.url, start) as peer, peer.working():
            await asyncio.sleep(1)  # peers give no word when their listener hears
            for number in range(trial.size):
                await asyncio.sleep(pause)
                started.clear()
                called = time.perf_counter()
                await peer.dispatch(number)
                async with asyncio.timeout(LIMIT):
                    await started.wait()
        counter.verify()
        return percentiles(seconds)

    return _run(measure())


def latency_elsewhere(trial: Trial, opening: Opening, pause: float, far_side: str) -> Figures:
    """The same, the worker being in another process, which runs the module ``far_side``."""

    async def measure() -> Figures:
        seconds = []
        async with opening(trial.url, lambda _: None) as peer, elsewhere(trial.url, 0, far_side) as other:
            await asyncio.sleep(1)
            for number in range(trial.size):
                await asyncio.sleep(pause)
                called = time.time()
                await peer.dispatch(number)
                seconds.append(await other.when("started", number) - called)
        return percentiles(seconds)

    return _run(measure())


def traffic(trial: Trial, opening: Opening) -> tuple[Traffic, Traffic]:
    """What the server is asked by jobs that are dispatched one by one, and then by a worker that runs them."""

    async def measure() -> tuple[Traffic, Traffic]:
        counter = Counter(trial.size)
        async with opening(trial.url, counter) as peer:
            with watched(trial.url) as dispatched:
                for number in range(trial.size):
                    await peer.dispatch(number)
            with watched(trial.url) as worked:
                await run_what_waits(peer, counter)
        return dispatched, worked

    return _run(measure())


def work_elsewhere(opening: Opening) -> None:
    """``URL``: work until the standard input ends, and say when each job starts; the far side of ``elsewhere``."""

    def say(what: str, number: int) -> None:
        print(what, number, f"{time.time():.6f}", flush=True)

    async def work() -> None:
        async with opening(sys.argv[1], lambda number: say("started", number)) as peer, peer.working():
            say("ready", 0)
            await asyncio.to_thread(sys.stdin.read)

    _run(work())


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, object], stop: Callable[[], object]) -> AsyncIterator[None]:
    """Run a peer's worker in a task of its own, and have it stop; what it raises is raised."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        stop()
        await asyncio.wait_for(task, LIMIT)


async def fill(peer: Peer, count: int) -> None:
    """Store so many jobs, as many in one call as the peer can."""
    for first in range(0, count, THOUSAND):
        await peer.dispatch_many(range(first, min(first + THOUSAND, count)))


async def run_what_waits(peer: Peer, counter: Counter) -> None:
    """Until the peer has nothing unfinished."""
    async with peer.working():
        await asyncio.to_thread(counter.wait)
        await _until_finished(peer)
    counter.verify()


async def _until_finished(peer: Peer) -> None:
    """A peer writes down what it has done some time after; wait for it, untimed."""
    deadline = time.monotonic() + LIMIT
    while left := await peer.unfinished():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{left:,} jobs have run, but are not stored as finished")
        await asyncio.sleep(0.05)


def _run(work: Coroutine[Any, Any, T]) -> T:
    uvloop: Any = importlib.import_module("uvloop")
    result: T = uvloop.run(work)
    return result
