"""How long a job waits between the call that dispatches it and the start of its handler, on an idle worker elsewhere."""

from __future__ import annotations

import asyncio
import time

from .contest import OURS, Benchmark, Figures, Floor, Lineup, Metric, Trial, contend
from .latency import PAUSE
from .measure import percentiles
from .place import REDIS


def goose(trial: Trial) -> Figures:
    """A client without workers, and a worker in another process, which is told."""
    return percentiles(asyncio.run(_latencies(trial)))


async def _latencies(trial: Trial) -> list[float]:
    from goose_queues import Client

    from .elsewhere import elsewhere
    from .elsewhere_goose import Nap, napping
    from .ours import WORKERS

    seconds = []
    async with napping(trial.url) as kernel, elsewhere(trial.url, WORKERS) as other:
        client = kernel.get(Client)
        await asyncio.sleep(1)  # as long as peers are given
        for number in range(trial.size):
            await asyncio.sleep(PAUSE)
            called = time.time()
            await client.dispatch(Nap(number=number))
            seconds.append(await other.when("started", number) - called)
    return seconds


def dramatiq(trial: Trial) -> Figures:
    """Its consumer asks at growing intervals."""
    from . import dramatiq_peer
    from .served import latency_elsewhere

    return latency_elsewhere(trial, dramatiq_peer.dramatiq, PAUSE, dramatiq_peer.__name__)


def taskiq(trial: Trial) -> Figures:
    """Its receiver waits for its stream."""
    from . import taskiq_peer
    from .served import latency_elsewhere

    return latency_elsewhere(trial, taskiq_peer.taskiq, PAUSE, taskiq_peer.__name__)


def saq(trial: Trial) -> Figures:
    """Each of its slots waits for the list."""
    from . import saq_peer
    from .served import latency_elsewhere

    return latency_elsewhere(trial, saq_peer.saq, PAUSE, saq_peer.__name__)


BENCHMARK = Benchmark(
    name="latency_elsewhere",
    question="from the call of dispatch to the start of the handler, idle worker, another process",
    metrics=(Metric("p50", "ms", more_is_better=False), Metric("p99", "ms", more_is_better=False)),
    size=200,
    quick_size=50,
    servers={REDIS: Lineup({OURS: goose, "dramatiq": dramatiq, "taskiq": taskiq, "saq": saq}, (Floor("p50", 3.0),))},
)

if __name__ == "__main__":
    contend(BENCHMARK)
