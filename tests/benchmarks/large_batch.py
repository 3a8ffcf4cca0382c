"""How long a very large batch takes to be stored, in one transaction, and how long others have to wait for that."""

from __future__ import annotations

import asyncio

from .contest import OURS, Benchmark, Figures, Metric, Trial, contend

PLAIN = "plain jobs"


def goose(trial: Trial) -> Figures:
    """``await queue.batch(...).then(...).dispatch()``."""
    from .large_batch_goose import batch_of, dispatch

    return asyncio.run(dispatch(trial, batch_of))


def plain(trial: Trial) -> Figures:
    """``await queue.dispatch_many(...)`` of as many jobs, which is one transaction too."""
    from .large_batch_goose import dispatch, jobs_of

    return asyncio.run(dispatch(trial, jobs_of))


BENCHMARK = Benchmark(
    name="large_batch",
    question="a batch stored by one sentence, and the longest that anything else waits meanwhile, by process",
    metrics=(
        Metric("total", "s", more_is_better=False),
        Metric("dispatch", "ms", more_is_better=False),
        Metric("heartbeat", "ms", more_is_better=False),
        Metric("dispatch_elsewhere", "ms", more_is_better=False),
        Metric("heartbeat_elsewhere", "ms", more_is_better=False),
    ),
    contestants={OURS: goose, PLAIN: plain},
    size=100_000,
    quick_size=10_000,
)

if __name__ == "__main__":
    contend(BENCHMARK)
