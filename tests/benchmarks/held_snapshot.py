"""How much slower a claim gets while somebody's old snapshot keeps the server from clearing away dead rows."""

from __future__ import annotations

from .contest import OURS, Benchmark, Figures, Floor, Lineup, Metric, Trial, contend
from .place import MARIADB, POSTGRESQL


def goose(trial: Trial) -> Figures:
    """Jobs come and go at a steady rate, first alone, then for so many seconds under the snapshot."""
    from .held_snapshot_goose import held

    return held(trial)


BENCHMARK = Benchmark(
    name="held_snapshot",
    question="a claim of ten before, and after so many seconds with a snapshot held, a thousand jobs a second",
    metrics=(
        Metric("before_p50", "ms", more_is_better=False),
        Metric("before_p99", "ms", more_is_better=False),
        Metric("after_p50", "ms", more_is_better=False),
        Metric("after_p99", "ms", more_is_better=False),
        Metric("growth", "x", more_is_better=False),
    ),
    size=60,
    quick_size=3,
    servers={
        POSTGRESQL: Lineup({OURS: goose}, floors=(Floor("growth", 5.0),)),
        MARIADB: Lineup({OURS: goose}, floors=(Floor("growth", 5.0),)),
    },
    timeout=300.0,
)

if __name__ == "__main__":
    contend(BENCHMARK)
