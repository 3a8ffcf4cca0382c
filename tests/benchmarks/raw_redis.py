"""Redis's own limit: one stream and one group of readers, at least once, by redis-py on asyncio, with no queue around it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from .contest import BenchmarkError, Figures, Trial
from .measure import drained, percentiles, rate
from .raw import payload

HUNDRED = 100
THOUSAND = 1000
STREAM = "stream"
GROUP = "group"
READER = "reader"


def drain(trial: Trial) -> Figures:
    """Read a hundred entries, acknowledge them, until none is left."""

    async def measure() -> Figures:
        async with connected(trial.url) as redis:
            await fill(redis, trial.size)
            gc.collect()
            started, used = time.perf_counter(), time.process_time()
            await read_all(redis, trial.size)
            seconds, used = time.perf_counter() - started, time.process_time() - used
        return drained(trial.size, seconds, used)

    return asyncio.run(measure())


def dispatch_alone(trial: Trial) -> Figures:
    """One entry in each round trip."""
    return dispatch_together(trial, callers=1)


def dispatch_together(trial: Trial, callers: int) -> Figures:
    """So many entries in each round trip."""

    async def measure() -> Figures:
        async with connected(trial.url) as redis:
            gc.collect()
            started = time.perf_counter()
            await fill(redis, trial.size, callers)
            seconds = time.perf_counter() - started
            if (found := await redis.xlen(STREAM)) != trial.size:
                raise BenchmarkError(f"{found:,} entries are stored, not {trial.size:,}")
        return rate(trial.size, seconds)

    return asyncio.run(measure())


def dispatch_many(trial: Trial) -> Figures:
    """A thousand entries in each round trip."""
    return dispatch_together(trial, callers=THOUSAND)


def latency(trial: Trial, pause: float) -> Figures:
    """What the server alone asks for: an entry that is added, and its being read."""

    async def measure() -> Figures:
        seconds = []
        async with connected(trial.url) as redis:
            for number in range(trial.size):
                await asyncio.sleep(pause)
                called = time.perf_counter()
                await _add(redis, (number,))
                await redis.xreadgroup(GROUP, READER, {STREAM: ">"}, count=1)
                seconds.append(time.perf_counter() - called)
        return percentiles(seconds)

    return asyncio.run(measure())


async def fill(redis: Redis, count: int, at_once: int = THOUSAND) -> None:
    """Add so many entries, so many of them in each round trip."""
    for first in range(0, count, at_once):
        await _add(redis, range(first, min(first + at_once, count)))


async def read_all(redis: Redis, count: int) -> None:
    """Read and acknowledge what is there; raises unless it is so many entries."""
    ran: set[bytes] = set()
    acknowledged = 0
    while streams := await redis.xreadgroup(GROUP, READER, {STREAM: ">"}, count=HUNDRED):
        ids = [entry for _, entries in streams for entry, _ in entries]
        ran.update(ids)
        acknowledged += await redis.xack(STREAM, GROUP, *ids)
    if (len(ran), acknowledged) != (count, count):
        raise BenchmarkError(f"{len(ran):,} of {count:,} entries were read, {acknowledged:,} acknowledged")


async def _add(redis: Redis, numbers: Sequence[int]) -> None:
    if len(numbers) == 1:
        await redis.xadd(STREAM, {"job": payload(numbers[0])})
        return
    async with redis.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.xadd(STREAM, {"job": payload(number)})
        await pipe.execute()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    """A client, and the stream with its group."""
    async with Redis.from_url(url) as redis:
        await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        yield redis
