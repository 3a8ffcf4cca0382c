"""What a benchmark is: contestants, the figures they report, the floors they are held to.

Each benchmark file describes itself with these and ends in ``contend(BENCHMARK)``, so that ``run.py`` can start one
contestant as a short process of its own: a fresh interpreter, a fresh file, nothing left over from the one before.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

OURS = "goose"
RAW = "raw"


class BenchmarkError(Exception):
    """A contestant did not do what it was timed for, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one contestant is given in one round."""

    size: int
    """How much to do: jobs, requests or declarations."""
    folder: Path
    """Empty, on disk, deleted afterwards."""
    shared: Path
    """Of all trials of one run: what is dear to make is made here once and copied; deleted after the last."""

    @property
    def file(self) -> Path:
        """The SQLite file of this trial."""
        return self.folder / "queue.db"


Figures = dict[str, float]
Contestant = Callable[[Trial], Figures]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure that contestants report."""

    name: str
    unit: str
    more_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Floor:
    """What this project must reach: a multiple of a rival's figure, or a figure of its own."""

    metric: str
    bound: float
    against: str | None = None
    """The rival; None: ``bound`` is a figure, not a ratio."""
    contestant: str = OURS
    """Whose figure is held to it, where this project takes part more than once."""
    alternative: Floor | None = None
    """Reaching this one instead will do."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A contest and what it asks."""

    name: str
    question: str
    """One line for the reader of the table."""
    metrics: Sequence[Metric]
    contestants: Mapping[str, Contestant]
    size: int
    quick_size: int
    floors: Sequence[Floor] = field(default_factory=tuple)
    timeout: float = 120.0
    """Seconds that one contestant may take in one round."""

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        return next(metric for metric in self.metrics if metric.name == name)


def contend(benchmark: Benchmark) -> None:
    """Let one contestant run once and print its figures as one line of JSON; the entry of each benchmark's process."""
    parser = argparse.ArgumentParser(description=benchmark.question)
    parser.add_argument("contestant", choices=sorted(benchmark.contestants))
    parser.add_argument("--size", type=int, default=benchmark.size)
    parser.add_argument("--folder", type=Path, default=None, help="where the database goes (default: a temporary one)")
    parser.add_argument("--shared", type=Path, default=None, help="what the trials of one run share (default: nothing)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.folder, ignore_cleanup_errors=True) as folder:
        trial = Trial(chosen.size, Path(folder), chosen.shared or Path(folder))
        try:
            figures = benchmark.contestants[chosen.contestant](trial)
        except BenchmarkError as error:
            sys.exit(str(error))
    figures.setdefault("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(figures), flush=True)
