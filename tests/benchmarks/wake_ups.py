"""What it costs those who dispatch that workers of other processes are told of it."""

from __future__ import annotations

from .contest import OURS, Benchmark, Figures, Floor, Lineup, Metric, Trial, contend
from .place import POSTGRESQL

SILENT = "goose silent"


def goose(trial: Trial) -> Figures:
    """A worker in another process listens."""
    from .wake_ups_goose import dispatch

    return dispatch(trial, is_silent=False)


def silent(trial: Trial) -> Figures:
    """Nobody is told, and the worker in the other process polls."""
    from .wake_ups_goose import dispatch

    return dispatch(trial, is_silent=True)


BENCHMARK = Benchmark(
    name="wake_ups",
    question="dispatches by 32 concurrent callers while a worker in another process runs the jobs",
    metrics=(Metric("rate", "jobs/s"), Metric("cpu", "s/1,000", more_is_better=False)),
    size=20_000,
    quick_size=2_000,
    servers={POSTGRESQL: Lineup({OURS: goose, SILENT: silent}, floors=(Floor("rate", 0.7, against=SILENT),))},
)

if __name__ == "__main__":
    contend(BENCHMARK)
