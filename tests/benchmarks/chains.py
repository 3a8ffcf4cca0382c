"""How much slower the links of chains run than as many jobs on their own."""

from __future__ import annotations

from .contest import OURS, Benchmark, Figures, Floor, Metric, Trial, contend
from .measure import rate

SLOTS = 32
LINKS = 5
PLAIN = "plain jobs"


def goose(trial: Trial) -> Figures:
    """Chains of five, all waiting for their first link at once."""
    from .ours import drain_chains

    return rate(trial.size, drain_chains(trial, LINKS, SLOTS).seconds)


def plain(trial: Trial) -> Figures:
    """As many jobs, dispatched by one sentence."""
    from .ours import drain

    return rate(trial.size, drain(trial, SLOTS).seconds)


BENCHMARK = Benchmark(
    name="chains",
    question=f"no-op links of chains of {LINKS} run on {SLOTS} slots",
    metrics=(Metric("rate", "jobs/s"),),
    contestants={OURS: goose, PLAIN: plain},
    size=10_000,
    quick_size=2_000,
    floors=(Floor("rate", 0.4, against=PLAIN),),
)

if __name__ == "__main__":
    contend(BENCHMARK)
