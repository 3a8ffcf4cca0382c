"""What a benchmark is: contestants, the figures they report, the floors they are held to.

Each benchmark file describes itself with these and ends in ``contend(BENCHMARK)``, so that ``run.py`` can start one
contestant as a short process of its own: a fresh interpreter, a fresh file or database, nothing left over from the one
before.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .place import SQLITE, STORES, Store, file_in, place

OURS = "goose"
RAW = "raw"
PEERS = ("huey", "pgqueuer", "oban", "procrastinate", "dramatiq", "taskiq", "saq")
"""Packages that take part where they are installed: the first word of a contestant's name."""


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
    store: Store = SQLITE
    url: str = ""
    """On a server, of a database that holds nothing yet; on SQLite, of the file."""

    @property
    def file(self) -> Path:
        """The file of this trial, on SQLite."""
        return file_in(self.folder)


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
class Lineup:
    """Who takes part on one store, and the floors there."""

    contestants: Mapping[str, Contestant]
    floors: Sequence[Floor] = ()
    stores: Mapping[str, Store] = field(default_factory=dict)
    """Where those run that do not run on the store of the others."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A contest and what it asks."""

    name: str
    question: str
    """One line for the reader of the table."""
    metrics: Sequence[Metric]
    size: int
    quick_size: int
    contestants: Mapping[str, Contestant] = field(default_factory=dict)
    """Those on SQLite."""
    floors: Sequence[Floor] = ()
    servers: Mapping[Store, Lineup] = field(default_factory=dict)
    timeout: float = 120.0
    """Seconds that one contestant may take in one round."""

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        return next(metric for metric in self.metrics if metric.name == name)

    def lineup(self, store: Store) -> Lineup:
        """Who takes part there; nobody where this is not asked of the store."""
        return Lineup(self.contestants, self.floors) if store == SQLITE else self.servers.get(store, Lineup({}))


def package_of(contestant: str) -> str | None:
    """What has to be installed for it; None: nothing but this project."""
    first = contestant.split(maxsplit=1)[0]
    return first if first in PEERS else None


def contend(benchmark: Benchmark) -> None:
    """Let one contestant run once and print its figures as one line of JSON; the entry of each benchmark's process."""
    parser = argparse.ArgumentParser(description=benchmark.question)
    parser.add_argument("contestant")
    parser.add_argument("--store", choices=STORES, default=SQLITE)
    parser.add_argument("--url", default=None, help="of an empty database (default: one that is made and dropped)")
    parser.add_argument("--size", type=int, default=benchmark.size)
    parser.add_argument("--folder", type=Path, default=None, help="where the database goes (default: a temporary one)")
    parser.add_argument("--shared", type=Path, default=None, help="what the trials of one run share (default: nothing)")
    chosen = parser.parse_args()
    lineup = benchmark.lineup(chosen.store)
    if chosen.contestant not in lineup.contestants:
        parser.error(f"{chosen.contestant} does not take part: choose from {', '.join(lineup.contestants)}")
    store = lineup.stores.get(chosen.contestant, chosen.store)
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.folder, ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        url = chosen.url or stack.enter_context(place(store, folder))
        trial = Trial(chosen.size, folder, chosen.shared or folder, store, url)
        try:
            figures = lineup.contestants[chosen.contestant](trial)
        except BenchmarkError as error:
            sys.exit(str(error))
    figures.setdefault("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(figures), flush=True)
