"""The two sides of a bench, which do the same on one ground: this queue, and the store by its plainest statements."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, get_args

import goose
from goose.kernel import Kernel
from goose_queues.bench.ground import QUEUE, Ground
from goose_queues.bench.report import Plan, Step
from goose_queues.bench.work import TENTH, NoOp, Tally, application, payloads
from goose_queues.client import Client
from goose_queues.config import Settings
from goose_queues.errors import BenchFailed
from goose_queues.supervisor import Supervisor

TOGETHER: Final = 100
"""Tasks that dispatch at the same moment; rows that the raw side stores, claims and finishes in one transaction."""
MANY: Final = 1_000
"""Jobs of one ``dispatch_many``; rows that the raw side stores in one transaction."""
PAUSE: Final = 0.01
"""Seconds before each dispatch whose latency is taken, so that the worker has nothing to do when it comes."""

Advance: TypeAlias = Callable[[int], None]
"""To be told how much more has been done."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a side has shown so far."""

    rates: dict[Step, list[float]] = field(default_factory=lambda: {step: [] for step in get_args(Step)})
    """Of each round, in jobs a second."""
    seconds: list[float] = field(default_factory=list)
    """Latencies."""

    @contextmanager
    def timing(self, step: Step, jobs: int) -> Iterator[None]:
        """Take the rate of what is done within the block."""
        gc.collect()
        begun = time.perf_counter()
        yield
        self.rates[step].append(jobs / (time.perf_counter() - begun))


class Side(Protocol):
    """What each of them does in a round, in this order."""

    found: Found

    async def alone(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """Store one after the other, each durable before the next."""

    async def together(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """Store a hundred at the same moment, again and again."""

    async def many(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """Store a thousand by one call, again and again."""

    async def drain(self, jobs: int, advance: Advance) -> None:
        """Run all that have been stored so far in this round."""

    async def late(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """Store one and start it; then wait a moment, and the next."""


class Ours:
    """This queue: dispatched by an application that runs no jobs, run by the workers of another."""

    def __init__(self, settings: Settings, ground: Ground, plan: Plan) -> None:
        self.found = Found()
        self._tally = Tally()
        self._application = application(settings, ground, plan.concurrency, self._tally)
        self._kernel: Kernel | None = None
        self._dispatched = 0
        """Since the beginning; the store is to count as many as completed."""

    @asynccontextmanager
    async def booted(self, *, working: bool) -> AsyncIterator[None]:
        """Within the block jobs can be dispatched; without ``working`` they wait, and no worker sees them come."""
        async with goose.running(self._application, background=working) as self._kernel:
            if not working:
                # They go on waiting until the workers of the next boot may begin with all of them.
                await self._client.pause(QUEUE)
            yield

    async def alone(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """``await queue.dispatch(...)`` in a loop."""
        client = self._client
        with self._dispatching("dispatch", jobs):
            for chunk in _chunks(jobs, len(jobs) // TENTH):
                for job in chunk:
                    await client.dispatch(job)
                advance(len(chunk))

    async def together(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """The same by a hundred tasks, which share commits."""
        client = self._client

        async def caller(own: Sequence[NoOp]) -> None:
            for job in own:
                await client.dispatch(job)
            advance(len(own))

        with self._dispatching("dispatch_together", jobs):
            async with asyncio.TaskGroup() as group:
                for number in range(TOGETHER):
                    group.create_task(caller(jobs[number::TOGETHER]))

    async def many(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """``await queue.dispatch_many(...)`` in a loop."""
        client = self._client
        with self._dispatching("dispatch_many", jobs):
            for chunk in _chunks(jobs, MANY):
                await client.dispatch_many(chunk)
                advance(len(chunk))

    async def drain(self, jobs: int, advance: Advance) -> None:
        """Claim, run and settle by workers, from the moment at which they may until the last has been settled."""
        self._tally.expect(jobs, advance)
        client, supervisor = self._client, self._running.get(Supervisor)
        with self.found.timing("drain", jobs):
            await client.resume(QUEUE)
            await self._tally.complete()
            await supervisor.idle()
        completed = (await client.stats())[QUEUE].completed
        if completed != self._dispatched:
            raise BenchFailed(f"the store counts {completed} of {self._dispatched} jobs as completed")

    async def late(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """From the call of ``dispatch`` to the start of ``handle``, on an idle worker of the same process."""
        client = self._client
        self._dispatched += len(jobs)
        for chunk in _chunks(jobs, len(jobs) // TENTH):
            for job in chunk:
                await asyncio.sleep(PAUSE)
                self._tally.expect(1)
                called = time.perf_counter()
                await client.dispatch(job)
                await self._tally.complete()
                self.found.seconds.append(self._tally.last_at - called)
            advance(len(chunk))

    @contextmanager
    def _dispatching(self, step: Step, jobs: Sequence[NoOp]) -> Iterator[None]:
        with self.found.timing(step, len(jobs)):
            yield
        self._dispatched += len(jobs)

    @property
    def _client(self) -> Client:
        return self._running.get(Client)

    @property
    def _running(self) -> Kernel:
        if self._kernel is None:
            raise RuntimeError("it is not booted")
        return self._kernel


class Raw:
    """The store by its plainest statements."""

    def __init__(self, ground: Ground) -> None:
        self.found = Found()
        self._ground = ground

    async def alone(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """One row in each commit."""
        await self._insert("dispatch", jobs, 1, advance)

    async def together(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """A hundred rows in each commit."""
        await self._insert("dispatch_together", jobs, TOGETHER, advance)

    async def many(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """A thousand rows in each commit."""
        await self._insert("dispatch_many", jobs, MANY, advance)

    async def drain(self, jobs: int, advance: Advance) -> None:
        """A hundred rows in each transaction that claims, and in each that finishes them."""
        await self._ground.settle_in()
        with self.found.timing("drain", jobs):
            drained = await self._ground.drain(TOGETHER)
        if drained != jobs:
            raise BenchFailed(f"{drained} of {jobs} rows were claimed and finished")
        advance(jobs)

    async def late(self, jobs: Sequence[NoOp], advance: Advance) -> None:
        """One row in a transaction that stores it and one that claims it."""
        for payload in payloads(jobs):
            await asyncio.sleep(PAUSE)
            called = time.perf_counter()
            await self._ground.pass_one(payload)
            self.found.seconds.append(time.perf_counter() - called)
        advance(len(jobs))

    async def _insert(self, step: Step, jobs: Sequence[NoOp], at_once: int, advance: Advance) -> None:
        rows = payloads(jobs)
        with self.found.timing(step, len(rows)):
            await self._ground.insert(rows, at_once)
        advance(len(rows))


def _chunks(jobs: Sequence[NoOp], size: int) -> Iterator[Sequence[NoOp]]:
    size = max(size, 1)
    for first in range(0, len(jobs), size):
        yield jobs[first : first + size]
