"""How fast one process empties a queue of waiting no-op jobs: claim, run, complete."""

from __future__ import annotations

import time
import uuid

from . import raw
from .contest import OURS, RAW, Benchmark, BenchmarkError, Figures, Floor, Metric, Trial, contend
from .measure import Counter, rate
from .peer import Huey

_HUNDRED = 100


def goose(trial: Trial) -> Figures:
    """Our workers, from the end of the boot until the store counts every job as completed."""
    from .ours import drain

    return rate(trial.size, drain(trial))


def huey(trial: Trial) -> Figures:
    """Huey's consumer, from its start until the last job has run."""
    counter = Counter(trial.size)
    app = Huey(trial.file, counter)
    app.fill(trial.size)
    started = time.perf_counter()
    with app.consuming():
        counter.wait()
    counter.verify()
    return rate(trial.size, counter.last_at - started)


def raw_sqlite(trial: Trial) -> Figures:
    """Claim a hundred in one transaction, complete them in another, until none is left."""
    connection = raw.connect(trial.file)
    rows = [raw.row(number) for number in range(trial.size)]
    raw.insert(connection, rows)
    ran: set[int] = set()
    started = time.perf_counter()
    while claimed := raw.claim(connection, _HUNDRED, token := str(uuid.uuid4())):
        ids = [job_id for job_id, _ in claimed]
        ran.update(ids)
        raw.complete(connection, ids, token)
    seconds = time.perf_counter() - started
    if len(ran) != trial.size:
        raise BenchmarkError(f"{len(ran):,} of {trial.size:,} jobs were claimed")
    return rate(trial.size, seconds)


BENCHMARK = Benchmark(
    name="drain",
    question="waiting no-op jobs run by one process",
    metrics=(Metric("rate", "jobs/s"),),
    contestants={OURS: goose, "huey": huey, RAW: raw_sqlite},
    size=10_000,
    quick_size=2_000,
    floors=(Floor("rate", 2.0, against="huey"), Floor("rate", 0.10, against=RAW)),
)

if __name__ == "__main__":
    contend(BENCHMARK)
