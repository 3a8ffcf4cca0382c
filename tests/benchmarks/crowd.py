"""What the store's operations cost among a million finished and a million future jobs, beside an empty table."""

from __future__ import annotations

from .contest import OURS, Benchmark, Figures, Floor, Metric, Trial, contend

EMPTY = "empty table"
BACKLOG = "backlog"
OPERATIONS = ("claim", "settle", "dispatch", "get_status", "stats", "get_batch", "first_page", "far_page")
WITHIN = 50_000.0
"""Microseconds that ``stats`` may take."""


def goose(trial: Trial) -> Figures:
    """Among so many jobs that have finished, and as many that are due in days."""
    from .crowd_goose import operate

    return operate(trial, finished=trial.size, future=trial.size)


def empty(trial: Trial) -> Figures:
    """Alone."""
    from .crowd_goose import operate

    return operate(trial)


def backlog(trial: Trial) -> Figures:
    """Behind so many jobs that are ready to be claimed."""
    from .crowd_goose import operate

    return operate(trial, ready=trial.size)


BENCHMARK = Benchmark(
    name="crowd",
    question="an operation among as many finished and as many future jobs (goose), or behind as many ready ones (backlog)",
    metrics=tuple(
        Metric(f"{operation}_{cut}", "us", more_is_better=False) for operation in OPERATIONS for cut in ("p50", "p99")
    ),
    contestants={OURS: goose, EMPTY: empty, BACKLOG: backlog},
    size=1_000_000,
    quick_size=50_000,
    floors=(
        *(Floor(f"{operation}_p50", 1.5, against=EMPTY) for operation in OPERATIONS),
        Floor("stats_p99", WITHIN),
        Floor("get_status_p99", WITHIN),
        Floor("stats_p99", WITHIN, contestant=BACKLOG),
        Floor("get_status_p99", WITHIN, contestant=BACKLOG),
    ),
    timeout=600.0,
)

if __name__ == "__main__":
    contend(BENCHMARK)
