"""How fast one sentence dispatches thousands of jobs."""

from __future__ import annotations

import sqlite3
import time
import uuid

from .contest import OURS, RAW, Benchmark, BenchmarkError, Figures, Floor, Lineup, Metric, Trial, contend
from .measure import rate
from .place import MARIADB, POSTGRESQL, REDIS


def goose(trial: Trial) -> Figures:
    """``await queue.dispatch_many(...)``."""
    from .ours import dispatch_many

    return rate(trial.size, dispatch_many(trial))


def raw_sqlite(trial: Trial) -> Figures:
    """``executemany`` of ready rows into the very tables that a dispatch writes to, a thousand in a transaction."""
    from .ours import one_row_each

    inserts = []
    ids = [str(uuid.UUID(int=number)) for number in range(trial.size)]
    for table, (columns, row) in one_row_each(trial).items():
        names = ", ".join(f'"{column}"' for column in columns)
        marks = ", ".join("?" for _ in columns)
        inserts.append((f'insert into "{table}" ({names}) values ({marks})', [_renew(row, job_id) for job_id in ids]))
    if not inserts:
        raise BenchmarkError("a dispatch left no row behind to copy")
    connection = sqlite3.connect(trial.file, isolation_level=None)
    connection.execute("pragma synchronous=full")
    started = time.perf_counter()
    for first in range(0, trial.size, 1000):
        connection.execute("begin immediate")
        for statement, rows in inserts:
            connection.executemany(statement, rows[first : first + 1000])
        connection.execute("commit")
    return rate(trial.size, time.perf_counter() - started)


def pgqueuer(trial: Trial) -> Figures:
    """``await queries.enqueue(...)`` with a thousand each."""
    from .pgqueuer_peer import pgqueuer as opening
    from .served import dispatch_many

    return dispatch_many(trial, opening)


def oban(trial: Trial) -> Figures:
    """``await oban.enqueue_many(...)`` with a thousand each."""
    from .oban_peer import oban as opening
    from .served import dispatch_many

    return dispatch_many(trial, opening)


def raw_server(trial: Trial) -> Figures:
    """Core's ``executemany`` into the table of jobs, a thousand in a transaction."""
    from .raw_server import dispatch_many

    return dispatch_many(trial)


def dramatiq(trial: Trial) -> Figures:
    """``actor.send(...)`` in a loop: it has nothing for many."""
    from .dramatiq_peer import dramatiq as opening
    from .served import dispatch_many

    return dispatch_many(trial, opening)


def taskiq(trial: Trial) -> Figures:
    """``await task.kiq(...)``, gathered by the thousand: it has nothing for many."""
    from .served import dispatch_many
    from .taskiq_peer import taskiq as opening

    return dispatch_many(trial, opening)


def saq(trial: Trial) -> Figures:
    """``await queue.enqueue(...)``, gathered by the thousand: it has nothing for many."""
    from .saq_peer import saq as opening
    from .served import dispatch_many

    return dispatch_many(trial, opening)


def raw_redis(trial: Trial) -> Figures:
    """A thousand entries of a stream in each round trip."""
    from .raw_redis import dispatch_many

    return dispatch_many(trial)


def _renew(row: tuple[object, ...], job_id: str) -> tuple[object, ...]:
    """The row for another job: its UUID replaced wherever it stands, its integer key left to SQLite."""
    return tuple(_renewed(value, position, job_id) for position, value in enumerate(row))


def _renewed(value: object, position: int, job_id: str) -> object:
    match value:
        case str() if _is_uuid(value):
            return job_id
        case bytes() if len(value) == 16:
            return uuid.UUID(job_id).bytes
        case int() if position == 0:
            return None
        case _:
            return value


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


BENCHMARK = Benchmark(
    name="dispatch_many",
    question="thousands of jobs dispatched by one sentence",
    metrics=(Metric("rate", "jobs/s"),),
    contestants={OURS: goose, RAW: raw_sqlite},
    size=20_000,
    quick_size=5_000,
    floors=(Floor("rate", 50_000, alternative=Floor("rate", 0.20, against=RAW)),),
    servers={
        POSTGRESQL: Lineup(
            {OURS: goose, "pgqueuer": pgqueuer, "oban": oban, RAW: raw_server}, floors=(Floor("rate", 20_000),)
        ),
        MARIADB: Lineup({OURS: goose, RAW: raw_server}, floors=(Floor("rate", 20_000),)),
        REDIS: Lineup(
            {OURS: goose, "dramatiq": dramatiq, "taskiq": taskiq, "saq": saq, RAW: raw_redis},
            floors=(Floor("rate", 20_000),),
        ),
    },
)

if __name__ == "__main__":
    contend(BENCHMARK)
