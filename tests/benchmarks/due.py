"""How late a job starts that was dispatched for a time to come, and whether one ever starts early."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from .contest import OURS, Benchmark, Figures, Floor, Metric, Trial, contend
from .measure import Counter, percentiles
from .peer import Huey

FIRST = 1.0
"""Seconds until the first is due: by then all have been dispatched."""
APART = 0.01
"""Seconds between two of them on average."""


class Start(NamedTuple):
    """One job's times, as ``time.time()`` has them."""

    due: float
    sent: float
    """When its dispatch had returned; a slow one is not held against the worker."""
    started: float


def goose(trial: Trial) -> Figures:
    """Workers in the process that dispatches."""
    from .due_goose import starts_here

    return _figures(asyncio.run(starts_here(trial)))


def goose_elsewhere(trial: Trial) -> Figures:
    """Workers in another process, which finds out by itself."""
    from .due_goose import starts_elsewhere

    return _figures(asyncio.run(starts_elsewhere(trial)))


def huey(trial: Trial) -> Figures:
    """Huey's scheduler, which looks once a second."""
    started: dict[int, float] = {}
    counter = Counter(trial.size)

    def start(number: int) -> None:
        started[number] = time.time()
        counter(number)

    app = Huey(trial.file, start)
    sent = []
    with app.consuming():
        due = times(trial.size)
        for number, when in enumerate(due):
            app.dispatch_at(number, when)
            sent.append(time.time())
        counter.wait()
    counter.verify()
    return _figures([Start(when.timestamp(), sent[number], started[number]) for number, when in enumerate(due)])


def times(count: int) -> list[datetime]:
    """When jobs are to be due: from a second on, at random."""
    chance, now = random.Random(1), datetime.now(UTC)
    return [now + timedelta(seconds=FIRST + chance.uniform(0, APART * count)) for _ in range(count)]


def _figures(starts: Sequence[Start]) -> Figures:
    late = [start.started - max(start.due, start.sent) for start in starts]
    return {**percentiles(late), "early": float(sum(start.started < start.due for start in starts))}


BENCHMARK = Benchmark(
    name="due",
    question="how late a job starts after the time it was dispatched for",
    metrics=(
        Metric("p50", "ms", more_is_better=False),
        Metric("p99", "ms", more_is_better=False),
        Metric("early", "jobs", more_is_better=False),
    ),
    contestants={OURS: goose, "goose elsewhere": goose_elsewhere, "huey": huey},
    size=1_000,
    quick_size=200,
    floors=(
        Floor("p99", 300.0),
        Floor("p99", 300.0, contestant="goose elsewhere"),
        Floor("early", 0.0),
        Floor("early", 0.0, contestant="goose elsewhere"),
    ),
)

if __name__ == "__main__":
    contend(BENCHMARK)
