"""How fast one process empties a queue of waiting no-op jobs: claim, run, complete."""

from __future__ import annotations

import time
import uuid
from functools import partial

from . import raw
from .contest import OURS, RAW, Benchmark, BenchmarkError, Contestant, Figures, Floor, Lineup, Metric, Trial, contend
from .measure import Counter, drained
from .peer import Huey
from .place import MARIADB, POSTGRESQL, REDIS

_HUNDRED = 100


def goose(trial: Trial) -> Figures:
    """Our workers, from the end of the boot until the store counts every job as completed."""
    from .ours import drain

    return drained(trial.size, *drain(trial))


def huey(trial: Trial) -> Figures:
    """Huey's consumer, from its start until the last job has run."""
    counter = Counter(trial.size)
    app = Huey(trial.file, counter)
    app.fill(trial.size)
    started, used = time.perf_counter(), time.process_time()
    with app.consuming():
        counter.wait()
        used = time.process_time() - used
    counter.verify()
    return drained(trial.size, counter.last_at - started, used)


def raw_sqlite(trial: Trial) -> Figures:
    """Claim a hundred in one transaction, complete them in another, until none is left."""
    connection = raw.connect(trial.file)
    rows = [raw.row(number) for number in range(trial.size)]
    raw.insert(connection, rows)
    ran: set[int] = set()
    started, used = time.perf_counter(), time.process_time()
    while claimed := raw.claim(connection, _HUNDRED, token := str(uuid.uuid4())):
        ids = [job_id for job_id, _ in claimed]
        ran.update(ids)
        raw.complete(connection, ids, token)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    if len(ran) != trial.size:
        raise BenchmarkError(f"{len(ran):,} of {trial.size:,} jobs were claimed")
    return drained(trial.size, seconds, used)


def pgqueuer(trial: Trial) -> Figures:
    """PgQueuer's managers, from their start until the last job has run."""
    from .pgqueuer_peer import pgqueuer as opening
    from .served import drain

    return drain(trial, opening)


def pgqueuer_large(trial: Trial) -> Figures:
    """The same with batches of five hundred, so that so many jobs are in its hands at once."""
    from .pgqueuer_peer import LARGE_BATCH
    from .pgqueuer_peer import pgqueuer as opening
    from .served import drain

    return drain(trial, partial(opening, batch=LARGE_BATCH))


def oban(trial: Trial) -> Figures:
    """Oban's producer, from its start until the last job has run."""
    from .oban_peer import oban as opening
    from .served import drain

    return drain(trial, opening)


def procrastinate(trial: Trial) -> Figures:
    """Procrastinate's worker, from its start until the last job has run."""
    from .procrastinate_peer import procrastinate as opening
    from .served import drain

    return drain(trial, opening)


def raw_server(trial: Trial) -> Figures:
    """Claim a hundred in one transaction, complete them in another, until none is left."""
    from .raw_server import drain

    return drain(trial)


def dramatiq(trial: Trial) -> Figures:
    """Dramatiq's worker, from its start until the last job has run."""
    from .dramatiq_peer import dramatiq as opening
    from .served import drain

    return drain(trial, opening)


def taskiq(trial: Trial) -> Figures:
    """taskiq's receiver, from its start until the last job has run."""
    from .served import drain
    from .taskiq_peer import taskiq as opening

    return drain(trial, opening)


def saq(trial: Trial) -> Figures:
    """SAQ's worker, from its start until the last job has run."""
    from .saq_peer import saq as opening
    from .served import drain

    return drain(trial, opening)


def raw_redis(trial: Trial) -> Figures:
    """Read a hundred entries of a stream, acknowledge them, until none is left."""
    from .raw_redis import drain

    return drain(trial)


ON_POSTGRESQL = "goose on postgresql"
METRICS = (Metric("rate", "jobs/s"), Metric("cpu", "s/1,000", more_is_better=False))
PGQUEUER: dict[str, Contestant] = {"pgqueuer": pgqueuer, "pgqueuer by 500": pgqueuer_large}
ON_SERVERS: dict[str, Contestant] = {OURS: goose, RAW: raw_server}
BENCHMARK = Benchmark(
    name="drain",
    question="waiting no-op jobs run by one process",
    metrics=METRICS,
    contestants={OURS: goose, "huey": huey, RAW: raw_sqlite},
    size=10_000,
    quick_size=2_000,
    floors=(Floor("rate", 2.0, against="huey"), Floor("rate", 0.10, against=RAW)),
    servers={
        POSTGRESQL: Lineup(
            {**ON_SERVERS, **PGQUEUER, "oban": oban, "procrastinate": procrastinate},
            floors=(Floor("rate", 0.8, against="pgqueuer"), Floor("rate", 0.4, against=RAW)),
        ),
        MARIADB: Lineup(
            {**ON_SERVERS, ON_POSTGRESQL: goose},
            floors=(Floor("rate", 0.4, against=ON_POSTGRESQL), Floor("rate", 0.4, against=RAW)),
            stores={ON_POSTGRESQL: POSTGRESQL},
        ),
        REDIS: Lineup(
            {OURS: goose, "dramatiq": dramatiq, "taskiq": taskiq, "saq": saq, RAW: raw_redis},
            floors=(Floor("rate", 1.0, against="dramatiq"),),
        ),
    },
)

if __name__ == "__main__":
    contend(BENCHMARK)
