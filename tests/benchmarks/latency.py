"""How long a job waits between the call that dispatches it and the start of its handler, on an idle worker."""

from __future__ import annotations

import threading
import time

from . import raw
from .contest import OURS, RAW, Benchmark, Figures, Floor, Lineup, Metric, Trial, contend
from .measure import LIMIT, Counter, percentiles
from .peer import Huey
from .place import MARIADB, POSTGRESQL, REDIS

PAUSE = 0.01
"""Seconds between two dispatches, so that the worker has nothing to do when the next one comes."""


def goose(trial: Trial) -> Figures:
    """A worker in the event loop that dispatches."""
    from .ours import latencies

    return percentiles(latencies(trial, PAUSE))


def huey(trial: Trial) -> Figures:
    """A consumer's thread in the process that dispatches, asking every millisecond."""
    counter, started, seconds = Counter(trial.size), threading.Event(), list[float]()

    def start(number: int) -> None:
        seconds.append(time.perf_counter() - called)
        counter(number)
        started.set()

    app = Huey(trial.file, start)
    with app.consuming():
        for number in range(trial.size):
            time.sleep(PAUSE)
            started.clear()
            called = time.perf_counter()
            app.dispatch(number)
            started.wait(LIMIT)
    counter.verify()
    return percentiles(seconds)


def raw_sqlite(trial: Trial) -> Figures:
    """What the file alone asks for: an insert and its commit, a claim and its commit."""
    connection = raw.connect(trial.file)
    seconds = []
    for number in range(trial.size):
        time.sleep(PAUSE)
        row = raw.row(number)
        called = time.perf_counter()
        raw.insert(connection, (row,))
        raw.claim(connection, 1, "token")
        seconds.append(time.perf_counter() - called)
    return percentiles(seconds)


def pgqueuer(trial: Trial) -> Figures:
    """A manager in the event loop that enqueues, woken by its trigger's notification."""
    from .pgqueuer_peer import pgqueuer as opening
    from .served import latency

    return latency(trial, opening, PAUSE)


def oban(trial: Trial) -> Figures:
    """A producer in the event loop that enqueues, woken by a notification."""
    from .oban_peer import oban as opening
    from .served import latency

    return latency(trial, opening, PAUSE)


def procrastinate(trial: Trial) -> Figures:
    """A worker in the event loop that defers, woken by its trigger's notification."""
    from .procrastinate_peer import procrastinate as opening
    from .served import latency

    return latency(trial, opening, PAUSE)


def raw_server(trial: Trial) -> Figures:
    """What the server alone asks for: an insert and its commit, a claim and its commit."""
    from .raw_server import latency

    return latency(trial, PAUSE)


def dramatiq(trial: Trial) -> Figures:
    """A worker's threads in the process that sends; its consumer asks at growing intervals."""
    from .dramatiq_peer import dramatiq as opening
    from .served import latency

    return latency(trial, opening, PAUSE)


def taskiq(trial: Trial) -> Figures:
    """A receiver in the event loop that calls ``kiq``, waiting for its stream."""
    from .served import latency
    from .taskiq_peer import taskiq as opening

    return latency(trial, opening, PAUSE)


def saq(trial: Trial) -> Figures:
    """A worker in the event loop that enqueues, each slot waiting for the list."""
    from .saq_peer import saq as opening
    from .served import latency

    return latency(trial, opening, PAUSE)


def raw_redis(trial: Trial) -> Figures:
    """What the server alone asks for: an entry that is added, and its being read."""
    from .raw_redis import latency

    return latency(trial, PAUSE)


FLOORS_ON_SERVERS = (Floor("p50", 5.0), Floor("p99", 12.0))
BENCHMARK = Benchmark(
    name="latency",
    question="from the call of dispatch to the start of the handler, idle worker, same process",
    metrics=(Metric("p50", "ms", more_is_better=False), Metric("p99", "ms", more_is_better=False)),
    contestants={OURS: goose, "huey": huey, RAW: raw_sqlite},
    size=200,
    quick_size=50,
    floors=(Floor("p50", 3.0), Floor("p99", 50.0)),
    servers={
        POSTGRESQL: Lineup(
            {OURS: goose, "pgqueuer": pgqueuer, "oban": oban, "procrastinate": procrastinate, RAW: raw_server},
            FLOORS_ON_SERVERS,
        ),
        MARIADB: Lineup({OURS: goose, RAW: raw_server}, FLOORS_ON_SERVERS),
        REDIS: Lineup(
            {OURS: goose, "dramatiq": dramatiq, "taskiq": taskiq, "saq": saq, RAW: raw_redis}, (Floor("p50", 3.0),)
        ),
    },
)

if __name__ == "__main__":
    contend(BENCHMARK)
