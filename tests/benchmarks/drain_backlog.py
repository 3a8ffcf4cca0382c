"""The same as ``drain`` behind a longer backlog, straight after its insert: no server has looked at the table yet."""

from __future__ import annotations

from .contest import RAW, Benchmark, Floor, Lineup, contend
from .drain import METRICS, ON_POSTGRESQL, ON_SERVERS, PGQUEUER, goose, oban
from .place import MARIADB, POSTGRESQL

BENCHMARK = Benchmark(
    name="drain_backlog",
    question="waiting no-op jobs run by one process, a backlog five times as long",
    metrics=METRICS,
    size=50_000,
    quick_size=10_000,
    servers={
        POSTGRESQL: Lineup(
            {**ON_SERVERS, **PGQUEUER, "oban": oban},
            floors=(Floor("rate", 1.5, against="pgqueuer"), Floor("rate", 0.4, against=RAW)),
        ),
        MARIADB: Lineup(
            {**ON_SERVERS, ON_POSTGRESQL: goose},
            floors=(Floor("rate", 0.4, against=ON_POSTGRESQL), Floor("rate", 0.4, against=RAW)),
            stores={ON_POSTGRESQL: POSTGRESQL},
        ),
    },
)

if __name__ == "__main__":
    contend(BENCHMARK)
