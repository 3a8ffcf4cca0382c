"""How much slower the members of a batch run than as many jobs on their own."""

from __future__ import annotations

from .contest import OURS, Benchmark, Figures, Floor, Metric, Trial, contend
from .measure import rate

SLOTS = 32
PLAIN = "plain jobs"


def goose(trial: Trial) -> Figures:
    """One batch, until its members and the two jobs that it calls back have completed."""
    from .ours import drain_batch

    return rate(trial.size, drain_batch(trial, SLOTS).seconds)


def plain(trial: Trial) -> Figures:
    """As many jobs, dispatched by one sentence."""
    from .ours import drain

    return rate(trial.size, drain(trial, SLOTS).seconds)


BENCHMARK = Benchmark(
    name="batches",
    question=f"no-op members of one batch run on {SLOTS} slots",
    metrics=(Metric("rate", "jobs/s"),),
    contestants={OURS: goose, PLAIN: plain},
    size=20_000,
    quick_size=2_000,
    floors=(Floor("rate", 0.7, against=PLAIN),),
)

if __name__ == "__main__":
    contend(BENCHMARK)
