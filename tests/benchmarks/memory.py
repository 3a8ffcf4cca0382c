"""Whether a process that dispatches and works without end needs more and more memory or file descriptors."""

from __future__ import annotations

from .contest import OURS, Benchmark, Figures, Floor, Metric, Trial, contend

WARM_UP = 0.1
"""Part of the jobs after which both are to stay what they are."""


def goose(trial: Trial) -> Figures:
    """One process; async and thread jobs, some of which fail, are retried, or fail for good."""
    from .memory_goose import samples

    taken = samples(trial)
    first, *later = taken[int(len(taken) * WARM_UP) :]
    return {
        "warm": first.mebibytes,
        "growth": max([0.0, *(sample.mebibytes - first.mebibytes for sample in later)]),
        "files": float(max([0, *(sample.files - first.files for sample in later)])),
    }


BENCHMARK = Benchmark(
    name="memory",
    question="one process that dispatches and runs all these jobs: what it uses beyond what it did after a tenth of them",
    metrics=(
        Metric("warm", "MiB", more_is_better=False),
        Metric("growth", "MiB", more_is_better=False),
        Metric("files", "", more_is_better=False),
    ),
    contestants={OURS: goose},
    size=200_000,
    quick_size=20_000,
    floors=(Floor("growth", 10.0), Floor("files", 0.0)),
    timeout=600.0,
)

if __name__ == "__main__":
    contend(BENCHMARK)
