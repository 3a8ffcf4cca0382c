"""How fast fifty callers at once dispatch jobs, each waiting until its own is durable."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from . import raw
from .contest import OURS, RAW, Benchmark, Figures, Floor, Lineup, Metric, Trial, contend
from .measure import Counter, rate
from .peer import Huey
from .place import MARIADB, POSTGRESQL, REDIS

CALLERS = 50


def goose(trial: Trial) -> Figures:
    """Fifty tasks that dispatch."""
    from .ours import dispatch_together

    return rate(trial.size, dispatch_together(trial, CALLERS))


def huey_tasks(trial: Trial) -> Figures:
    """Fifty tasks that call Huey in place, as an application on asyncio can: each call blocks the loop."""
    counter = Counter(trial.size)
    app = Huey(trial.file, counter)

    async def caller(first: int) -> None:
        for number in range(first, trial.size, CALLERS):
            app.dispatch(number)
            await asyncio.sleep(0)

    async def callers() -> float:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for first in range(CALLERS):
                group.create_task(caller(first))
        return time.perf_counter() - started

    seconds = asyncio.run(callers())
    app.drain(counter)
    return rate(trial.size, seconds)


def huey_threads(trial: Trial) -> Figures:
    """Fifty threads that call Huey, as an application on threads does."""
    counter = Counter(trial.size)
    app = Huey(trial.file, counter)

    def caller(first: int) -> None:
        for number in range(first, trial.size, CALLERS):
            app.dispatch(number)

    with ThreadPoolExecutor(CALLERS) as threads:
        started = time.perf_counter()
        for done in [threads.submit(caller, first) for first in range(CALLERS)]:
            done.result()
        seconds = time.perf_counter() - started
    app.drain(counter)
    return rate(trial.size, seconds)


def raw_sqlite(trial: Trial) -> Figures:
    """Fifty inserts in each commit."""
    connection = raw.connect(trial.file)
    rows = [raw.row(number) for number in range(trial.size)]
    started = time.perf_counter()
    for first in range(0, trial.size, CALLERS):
        raw.insert(connection, rows[first : first + CALLERS])
    return rate(trial.size, time.perf_counter() - started)


def pgqueuer(trial: Trial) -> Figures:
    """Fifty tasks that enqueue, over a pool."""
    from .pgqueuer_peer import pgqueuer as opening
    from .served import dispatch_together

    return dispatch_together(trial, opening, CALLERS)


def pgqueuer_alone(trial: Trial) -> Figures:
    """A single task that enqueues: what the floor speaks of."""
    from .dispatch_alone import pgqueuer

    return pgqueuer(trial)


def oban(trial: Trial) -> Figures:
    """Fifty tasks that enqueue, over a pool."""
    from .oban_peer import oban as opening
    from .served import dispatch_together

    return dispatch_together(trial, opening, CALLERS)


def raw_server(trial: Trial) -> Figures:
    """Fifty inserts in each commit."""
    from .raw_server import dispatch_together

    return dispatch_together(trial, CALLERS)


def dramatiq(trial: Trial) -> Figures:
    """Fifty threads that send."""
    from .dramatiq_peer import dispatch_together

    return dispatch_together(trial, CALLERS)


def taskiq(trial: Trial) -> Figures:
    """Fifty tasks that call ``kiq``."""
    from .served import dispatch_together
    from .taskiq_peer import taskiq as opening

    return dispatch_together(trial, opening, CALLERS)


def saq(trial: Trial) -> Figures:
    """Fifty tasks that enqueue."""
    from .saq_peer import saq as opening
    from .served import dispatch_together

    return dispatch_together(trial, opening, CALLERS)


def raw_redis(trial: Trial) -> Figures:
    """Fifty entries of a stream in each round trip."""
    from .raw_redis import dispatch_together

    return dispatch_together(trial, CALLERS)


ALONE = "pgqueuer one task"
BENCHMARK = Benchmark(
    name="dispatch_together",
    question="dispatches by fifty concurrent callers",
    metrics=(Metric("rate", "jobs/s"),),
    contestants={OURS: goose, "huey": huey_tasks, "huey threads": huey_threads, RAW: raw_sqlite},
    size=5_000,
    quick_size=1_000,
    floors=(Floor("rate", 3.0, against="huey"), Floor("rate", 3.0, against="huey threads")),
    servers={
        POSTGRESQL: Lineup(
            {OURS: goose, ALONE: pgqueuer_alone, "pgqueuer": pgqueuer, "oban": oban, RAW: raw_server},
            floors=(Floor("rate", 3.0, against=ALONE),),
        ),
        MARIADB: Lineup({OURS: goose, RAW: raw_server}),
        REDIS: Lineup({OURS: goose, "dramatiq": dramatiq, "taskiq": taskiq, "saq": saq, RAW: raw_redis}),
    },
)

if __name__ == "__main__":
    contend(BENCHMARK)
