"""How fast one caller dispatches jobs one after the other, each durable before the next."""

from __future__ import annotations

import time

from . import raw
from .contest import OURS, RAW, Benchmark, Figures, Floor, Metric, Trial, contend
from .measure import Counter, rate
from .peer import Huey


def goose(trial: Trial) -> Figures:
    """``await queue.dispatch(...)`` in a loop."""
    from .ours import dispatch_alone

    return rate(trial.size, dispatch_alone(trial))


def huey(trial: Trial) -> Figures:
    """Calling the task in a loop."""
    counter = Counter(trial.size)
    app = Huey(trial.file, counter)
    started = time.perf_counter()
    for number in range(trial.size):
        app.dispatch(number)
    seconds = time.perf_counter() - started
    app.drain(counter)
    return rate(trial.size, seconds)


def raw_sqlite(trial: Trial) -> Figures:
    """One insert, one commit, in a loop."""
    connection = raw.connect(trial.file)
    rows = [raw.row(number) for number in range(trial.size)]
    started = time.perf_counter()
    for row in rows:
        raw.insert(connection, (row,))
    return rate(trial.size, time.perf_counter() - started)


BENCHMARK = Benchmark(
    name="dispatch_alone",
    question="dispatches awaited one by one",
    metrics=(Metric("rate", "jobs/s"),),
    contestants={OURS: goose, "huey": huey, RAW: raw_sqlite},
    size=2_000,
    quick_size=500,
    floors=(Floor("rate", 0.7, against="huey"),),
)

if __name__ == "__main__":
    contend(BENCHMARK)
