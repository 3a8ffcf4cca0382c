"""Counting and timing that every benchmark shares."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence

from .contest import BenchmarkError, Figures

PAYLOAD_BYTES = 200
"""Of the job's JSON, the same for every contestant."""
_TEXT = "x" * (PAYLOAD_BYTES - len('{"number":100000,"text":""}'))
LIMIT = 60.0
"""Seconds after which a contestant that still has jobs to run has lost them."""


def text_for(number: int) -> str:
    """The filler that makes the payload of job ``number`` exactly 200 bytes of compact JSON."""
    return _TEXT + "x" * (6 - len(str(number)))


class Counter:
    """Counts jobs inside their handler, by number, so that one missed or one run twice shows."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.first_at = 0.0
        self.last_at = 0.0
        self.first_cpu = 0.0
        """Of this process, in seconds, when the first had run."""
        self._seen: list[int] = []
        self._complete = threading.Event()

    def __call__(self, number: int) -> None:
        """Count job ``number``; called by its handler, from any thread."""
        seen = self._seen
        seen.append(number)
        if len(seen) == 1:
            self.first_at, self.first_cpu = time.perf_counter(), time.process_time()
        if len(seen) == self.expected:
            self.last_at = time.perf_counter()
            self._complete.set()

    @property
    def is_complete(self) -> bool:
        """Whether as many have run as were expected."""
        return self._complete.is_set()

    def wait(self) -> None:
        """Block until all have run; gives up after a minute and leaves the verdict to ``verify``."""
        self._complete.wait(LIMIT)

    def verify(self) -> None:
        """Raise unless each job has run, and has run once."""
        ran, distinct = len(self._seen), len(set(self._seen))
        if distinct != self.expected:
            raise BenchmarkError(
                f"{distinct:,} of {self.expected:,} jobs ran: {self.expected - distinct:,} are missing"
            )
        if ran != distinct:
            raise BenchmarkError(f"{ran - distinct:,} of {self.expected:,} jobs ran more than once")


def rate(count: int, seconds: float) -> Figures:
    """So many a second."""
    return {"rate": count / seconds}


def percentiles(seconds: Sequence[float]) -> Figures:
    """Median and 99th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50": cuts[49] * 1000, "p99": cuts[98] * 1000}


def drained(count: int, seconds: float, cpu: float) -> Figures:
    """So many a second, and the processor time of this process for a thousand of them."""
    return {**rate(count, seconds), "cpu": cpu * 1000 / count}
