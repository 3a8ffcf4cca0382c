"""How much memory of the Redis server a job takes that waits."""

from __future__ import annotations

import asyncio

from .contest import OURS, RAW, Benchmark, Figures, Lineup, Metric, Trial, contend
from .place import REDIS
from .served import Opening, fill
from .traffic import memory


def goose(trial: Trial) -> Figures:
    """Two keys of the queue: its index, and what the jobs are."""
    from .ours import store_one, stored

    async def measure() -> Figures:
        await store_one(trial)
        before = memory(trial.url)
        await stored(trial, trial.size)
        return _figures(trial, before)

    return asyncio.run(measure())


def dramatiq(trial: Trial) -> Figures:
    """A list of ids, and a hash of messages."""
    from .dramatiq_peer import dramatiq as opening

    return _peer(trial, opening)


def taskiq(trial: Trial) -> Figures:
    """Entries of a stream."""
    from .taskiq_peer import taskiq as opening

    return _peer(trial, opening)


def saq(trial: Trial) -> Figures:
    """A key for each job, a list and a sorted set of them."""
    from .saq_peer import saq as opening

    return _peer(trial, opening)


def raw_redis(trial: Trial) -> Figures:
    """Entries of a stream that hold the payload and nothing else."""
    from .raw_redis import connected, fill

    async def measure() -> Figures:
        async with connected(trial.url) as redis:
            before = memory(trial.url)
            await fill(redis, trial.size)
        return _figures(trial, before)

    return asyncio.run(measure())


def _peer(trial: Trial, opening: Opening) -> Figures:
    async def measure() -> Figures:
        async with opening(trial.url, lambda _: None) as peer:
            before = memory(trial.url)
            await fill(peer, trial.size)
        return _figures(trial, before)

    return asyncio.run(measure())


def _figures(trial: Trial, before: int) -> Figures:
    return {"waiting": (memory(trial.url) - before) / trial.size}


BENCHMARK = Benchmark(
    name="footprint",
    question="memory of the server for each job that waits, its payload of 200 bytes included",
    metrics=(Metric("waiting", "bytes", more_is_better=False),),
    size=100_000,
    quick_size=5_000,
    servers={REDIS: Lineup({OURS: goose, "dramatiq": dramatiq, "taskiq": taskiq, "saq": saq, RAW: raw_redis})},
    timeout=300.0,
)

if __name__ == "__main__":
    contend(BENCHMARK)
