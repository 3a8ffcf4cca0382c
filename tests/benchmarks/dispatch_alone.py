"""How fast one caller dispatches jobs one after the other, each durable before the next."""

from __future__ import annotations

import time

from . import raw
from .contest import OURS, RAW, Benchmark, Figures, Floor, Lineup, Metric, Trial, contend
from .measure import Counter, rate
from .peer import Huey
from .place import MARIADB, POSTGRESQL, REDIS


def goose(trial: Trial) -> Figures:
    """``await queue.dispatch(...)`` in a loop."""
    from .ours import dispatch_alone

    return rate(trial.size, dispatch_alone(trial))


def huey(trial: Trial) -> Figures:
    """Calling the task in a loop."""
    counter = Counter(trial.size)
    app = Huey(trial.file, counter)
    started = time.perf_counter()
    for number in range(trial.size):
        app.dispatch(number)
    seconds = time.perf_counter() - started
    app.drain(counter)
    return rate(trial.size, seconds)


def raw_sqlite(trial: Trial) -> Figures:
    """One insert, one commit, in a loop."""
    connection = raw.connect(trial.file)
    rows = [raw.row(number) for number in range(trial.size)]
    started = time.perf_counter()
    for row in rows:
        raw.insert(connection, (row,))
    return rate(trial.size, time.perf_counter() - started)


def pgqueuer(trial: Trial) -> Figures:
    """``await queries.enqueue(...)`` in a loop."""
    from .pgqueuer_peer import pgqueuer as opening
    from .served import dispatch_alone

    return dispatch_alone(trial, opening)


def oban(trial: Trial) -> Figures:
    """``await oban.enqueue(...)`` in a loop."""
    from .oban_peer import oban as opening
    from .served import dispatch_alone

    return dispatch_alone(trial, opening)


def procrastinate(trial: Trial) -> Figures:
    """``await task.defer_async(...)`` in a loop."""
    from .procrastinate_peer import procrastinate as opening
    from .served import dispatch_alone

    return dispatch_alone(trial, opening)


def raw_server(trial: Trial) -> Figures:
    """One insert, one commit, in a loop."""
    from .raw_server import dispatch_alone

    return dispatch_alone(trial)


def dramatiq(trial: Trial) -> Figures:
    """``actor.send(...)`` in a loop."""
    from .dramatiq_peer import dramatiq as opening
    from .served import dispatch_alone

    return dispatch_alone(trial, opening)


def taskiq(trial: Trial) -> Figures:
    """``await task.kiq(...)`` in a loop."""
    from .served import dispatch_alone
    from .taskiq_peer import taskiq as opening

    return dispatch_alone(trial, opening)


def saq(trial: Trial) -> Figures:
    """``await queue.enqueue(...)`` in a loop."""
    from .saq_peer import saq as opening
    from .served import dispatch_alone

    return dispatch_alone(trial, opening)


def raw_redis(trial: Trial) -> Figures:
    """One entry of a stream, in a loop."""
    from .raw_redis import dispatch_alone

    return dispatch_alone(trial)


BENCHMARK = Benchmark(
    name="dispatch_alone",
    question="dispatches awaited one by one",
    metrics=(Metric("rate", "jobs/s"),),
    contestants={OURS: goose, "huey": huey, RAW: raw_sqlite},
    size=2_000,
    quick_size=500,
    floors=(Floor("rate", 0.7, against="huey"),),
    servers={
        POSTGRESQL: Lineup(
            {OURS: goose, "oban": oban, "pgqueuer": pgqueuer, "procrastinate": procrastinate, RAW: raw_server},
            floors=(Floor("rate", 1.0, against="oban"),),
        ),
        MARIADB: Lineup({OURS: goose, RAW: raw_server}),
        REDIS: Lineup(
            {OURS: goose, "dramatiq": dramatiq, "taskiq": taskiq, "saq": saq, RAW: raw_redis},
            floors=(Floor("rate", 1.0, against="saq"),),
        ),
    },
)

if __name__ == "__main__":
    contend(BENCHMARK)
