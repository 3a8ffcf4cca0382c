"""What a job costs the Redis server: commands, and its processor time, to be dispatched alone and to be drained."""

from __future__ import annotations

import asyncio

from .contest import OURS, RAW, Benchmark, Figures, Lineup, Metric, Trial, contend
from .place import REDIS
from .traffic import Traffic, watched

MICRO = 1_000_000


def goose(trial: Trial) -> Figures:
    """A client; then workers, from their boot on."""
    from .ours import traffic

    return _figures(trial, *traffic(trial))


def dramatiq(trial: Trial) -> Figures:
    """The same of Dramatiq."""
    from .dramatiq_peer import dramatiq as opening
    from .served import traffic

    return _figures(trial, *traffic(trial, opening))


def taskiq(trial: Trial) -> Figures:
    """The same of taskiq."""
    from .served import traffic
    from .taskiq_peer import taskiq as opening

    return _figures(trial, *traffic(trial, opening))


def saq(trial: Trial) -> Figures:
    """The same of SAQ."""
    from .saq_peer import saq as opening
    from .served import traffic

    return _figures(trial, *traffic(trial, opening))


def raw_redis(trial: Trial) -> Figures:
    """Entries added one by one, read and acknowledged by the hundred."""
    from .raw_redis import connected, fill, read_all

    async def measure() -> tuple[Traffic, Traffic]:
        async with connected(trial.url) as redis:
            with watched(trial.url) as dispatched:
                await fill(redis, trial.size, at_once=1)
            with watched(trial.url) as drained:
                await read_all(redis, trial.size)
        return dispatched, drained

    return _figures(trial, *asyncio.run(measure()))


def _figures(trial: Trial, dispatched: Traffic, drained: Traffic) -> Figures:
    return {
        f"{what}_{name}": figure / trial.size
        for what, traffic in (("dispatch", dispatched), ("drain", drained))
        for name, figure in (("sent", traffic.sent), ("calls", traffic.calls), ("cpu", traffic.cpu * MICRO))
    }


BENCHMARK = Benchmark(
    name="commands",
    question="what the server is asked for each job: sent by the client, called in all, its processor time",
    metrics=tuple(
        Metric(f"{what}_{name}", unit, more_is_better=False)
        for what in ("dispatch", "drain")
        for name, unit in (("sent", ""), ("calls", ""), ("cpu", "us"))
    ),
    size=5_000,
    quick_size=1_000,
    servers={REDIS: Lineup({OURS: goose, "dramatiq": dramatiq, "taskiq": taskiq, "saq": saq, RAW: raw_redis})},
)

if __name__ == "__main__":
    contend(BENCHMARK)
