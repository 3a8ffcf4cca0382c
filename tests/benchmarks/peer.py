"""Huey on SQLite with fsync on, its consumer's threads in this process: the peer that the floors name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from .contest import BenchmarkError
from .measure import Counter, text_for

WORKERS = 1
"""Its threads share one connection behind one lock; with a no-op job one thread drains faster than two, four or eight."""


class Huey:
    """A Huey application with one task that counts itself."""

    def __init__(self, file: Path, counter: Callable[[int], None]) -> None:
        library = importlib.import_module("huey")
        self.app: Any = library.SqliteHuey("bench", filename=str(file), fsync=True, utc=True)
        if (level := self.app.storage.conn.execute("pragma synchronous").fetchone()[0]) != 2:
            raise BenchmarkError(f"Huey runs with synchronous={level}, not 2 (FULL)")

        def work(number: int, text: str) -> None:
            counter(number)

        self.work: Any = self.app.task()(work)

    def dispatch(self, number: int) -> None:
        """Enqueue job ``number``: one insert, one commit."""
        self.work(number, text_for(number))

    def dispatch_at(self, number: int, when: datetime) -> None:
        """Schedule job ``number``."""
        self.work.schedule(args=(number, text_for(number)), eta=when)

    def fill(self, count: int) -> None:
        """Put ``count`` jobs into the queue in one transaction; what the consumer finds is what ``dispatch`` writes."""
        tasks = [self.work.s(number, text_for(number)) for number in range(count)]
        rows = [(self.app.name, self.app.serialize_task(task), 0) for task in tasks]
        with self.app.storage.db(commit=True) as cursor:
            cursor.executemany("insert into task (queue, data, priority) values (?, ?, ?)", rows)

    @contextmanager
    def consuming(self, workers: int = WORKERS, poll: float = 0.001) -> Iterator[None]:
        """Run the consumer's threads, polling as often as they can make use of."""
        consumer = self.app.create_consumer(
            workers=workers, periodic=False, initial_delay=poll, max_delay=poll, check_worker_health=False
        )
        consumer.start()
        try:
            yield
        finally:
            consumer.stop(graceful=True)

    def drain(self, counter: Counter) -> None:
        """Run what is waiting, untimed, to see that nothing was lost."""
        with self.consuming():
            counter.wait()
        counter.verify()
