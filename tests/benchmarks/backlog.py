"""Whether a worker needs more memory the more jobs wait for it."""

from __future__ import annotations

from .contest import OURS, Benchmark, Figures, Floor, Metric, Trial, contend

SMALL = "a hundredth"


def goose(trial: Trial) -> Figures:
    """The whole backlog behind it."""
    from .backlog_goose import peak

    return {"peak": peak(trial, trial.size, _runs(trial))}


def small(trial: Trial) -> Figures:
    """A hundredth of it; both run that many of the jobs."""
    from .backlog_goose import peak

    return {"peak": peak(trial, _runs(trial), _runs(trial))}


def _runs(trial: Trial) -> int:
    return max(trial.size // 100, 1)


BENCHMARK = Benchmark(
    name="backlog",
    question="memory of a process that has run one in a hundred of the jobs that wait",
    metrics=(Metric("peak", "MiB", more_is_better=False),),
    contestants={OURS: goose, SMALL: small},
    size=500_000,
    quick_size=50_000,
    floors=(Floor("peak", 1.05, against=SMALL),),
)

if __name__ == "__main__":
    contend(BENCHMARK)
