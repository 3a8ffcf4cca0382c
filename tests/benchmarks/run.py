"""``make bench``: every contest in turn, several rounds, medians and ratios in one run.

    python -m tests.benchmarks.run [NAME ...] [--store sqlite] [--rounds 5] [--quick] [--size N] [--json FILE] [--folder DIR]

Each contestant of each round is a process of its own; their order turns with the round, so that none is always first.
A ratio is the median of the rounds' own ratios: what slows the machine for a while slows both sides of it. Floors are
reported, never enforced. Exit code 1 means that a contestant failed or missed a job. A peer that is not installed is
left out by name.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from . import (
    backlog,
    batches,
    boot,
    chains,
    commands,
    crowd,
    dispatch_alone,
    dispatch_many,
    dispatch_together,
    drain,
    drain_backlog,
    due,
    footprint,
    held_snapshot,
    importing,
    large_batch,
    latency,
    latency_elsewhere,
    memory,
    steering,
    wake_ups,
    web,
)
from .contest import OURS, Benchmark, Figures, Floor, Lineup, Metric, package_of
from .place import SQLITE, STORES, Store, describe, place

MODULES = (
    drain,
    drain_backlog,
    dispatch_alone,
    dispatch_together,
    dispatch_many,
    wake_ups,
    latency,
    latency_elsewhere,
    due,
    batches,
    chains,
    large_batch,
    steering,
    crowd,
    backlog,
    held_snapshot,
    memory,
    commands,
    footprint,
    web,
    boot,
    importing,
)
BENCHMARKS = {module.BENCHMARK.name: module.BENCHMARK for module in MODULES}
WIDEST = 3
"""Metrics beside which a table still fits; one of more is turned: a line for each metric."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one benchmark: per contestant the figures of each round, None where it failed."""

    benchmark: Benchmark
    size: int
    store: Store
    rounds: dict[str, list[Figures | None]]
    errors: list[str] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    """Those whose package is not installed."""

    @property
    def lineup(self) -> Lineup:
        """Of the store."""
        return self.benchmark.lineup(self.store)

    def median(self, contestant: str, metric: str) -> float | None:
        """The contestant's median over the rounds."""
        values = [figures[metric] for figures in self.rounds.get(contestant, ()) if figures]
        return statistics.median(values) if values else None

    def ratio(self, rival: str, metric: str, contestant: str = OURS) -> float | None:
        """Ours by theirs: the median of the rounds' own ratios."""
        pairs = zip(self.rounds.get(contestant, ()), self.rounds.get(rival, ()), strict=False)
        # A run too short for the clock has used no time: there is nothing to divide by.
        ratios = [ours[metric] / theirs[metric] for ours, theirs in pairs if ours and theirs and theirs[metric]]
        return statistics.median(ratios) if ratios else None


def main() -> int:
    """Run what was asked for, print the tables, say whether every job was counted."""
    asked = _arguments()
    names = asked.names or _asked_of(asked.store)
    rounds = asked.rounds or (1 if asked.quick else 5)
    print(_machine(asked.store, asked.folder), flush=True)
    started = time.monotonic()
    results = []
    for name in names:
        benchmark = BENCHMARKS[name]
        size = asked.size or (benchmark.quick_size if asked.quick else benchmark.size)
        result = contest(benchmark, asked.store, size, rounds, asked.folder)
        print(render(result), flush=True)
        results.append(result)
    print(f"\n{len(results)} benchmarks, {rounds} round(s) each, {time.monotonic() - started:.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps([as_data(result) for result in results], indent=2) + "\n")
    errors = [error for result in results for error in result.errors]
    for error in errors:
        print(f"FAILED {error}", file=sys.stderr)
    return 1 if errors else 0


def contest(benchmark: Benchmark, store: Store, size: int, rounds: int, folder: Path) -> Result:
    """Let every contestant run once in each round, the order turning with the round; one that has failed is out."""
    packages = {name: package_of(name) for name in benchmark.lineup(store).contestants}
    order = [name for name, package in packages.items() if package is None or find_spec(package)]
    result = Result(benchmark, size, store, {name: [] for name in order}, left_out=tuple(packages.keys() - set(order)))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder, ignore_cleanup_errors=True) as shared:
        for number in range(rounds):
            turn = number % len(order)
            for contestant in order[turn:] + order[:turn]:
                has_failed = None in result.rounds[contestant]
                figures = None if has_failed else _run_one(result, contestant, folder, shared)
                result.rounds[contestant].append(figures)
    return result


def _run_one(result: Result, contestant: str, folder: Path, shared: str) -> Figures | None:
    name, timeout = result.benchmark.name, result.benchmark.timeout
    command = [sys.executable, "-m", f"{__package__}.{name}", contestant, "--store", result.store]
    command += ["--size", str(result.size), "--folder", str(folder), "--shared", shared]
    store = result.lineup.stores.get(contestant, result.store)
    try:
        # Made and dropped here: a contestant that is ended for being late could not.
        with place(store, folder) as url:
            if store != SQLITE:
                command += ["--url", url]
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        result.errors.append(f"{name}, {contestant}: no figures within {timeout:.0f} s")
        return None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        result.errors.append(f"{name}, {contestant}: " + "\n  ".join(said[-12:]))
        return None
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def render(result: Result) -> str:
    """The benchmark as a table with its floors below."""
    benchmark = result.benchmark
    title = f"{benchmark.name}  {benchmark.question}  (size {result.size:,})"
    lines = _turned(result) if len(benchmark.metrics) > WIDEST else _across(result)
    floors = [f"  floor: {text}: {verdict}" for text, verdict in _verdicts(result)]
    missing = [f"  left out: {name}, which is not installed" for name in sorted(result.left_out)]
    return "\n".join(["", title, *lines, *floors, *missing])


def _across(result: Result) -> list[str]:
    """A line for each contestant."""
    benchmark = result.benchmark
    rivals = [name for name in result.rounds if name != OURS]
    header = "".join(f"{metric.name + ' ' + metric.unit:>20}{'lowest..highest':>22}" for metric in benchmark.metrics)
    lines = [f"  {'':<20}{header}{'memory MiB':>12}{'goose is':>12}"]
    for contestant in (OURS, *rivals):
        cells = "".join(_cell(result, contestant, metric) for metric in benchmark.metrics)
        ratio = None if contestant == OURS else result.ratio(contestant, benchmark.metrics[0].name)
        against = f"{ratio:.2f}x" if ratio is not None else ""
        lines.append(f"  {contestant:<20}{cells}{_number(result.median(contestant, 'memory')):>12}{against:>12}")
    return lines


def _turned(result: Result) -> list[str]:
    """A line for each metric; beside a rival's figures, what ours are of them."""
    benchmark = result.benchmark
    rivals = [name for name in result.rounds if name != OURS]
    columns = [OURS, *(column for rival in rivals for column in (rival, "goose is"))]
    widths = [20, *[width for _ in rivals for width in (16, 10)]]
    header = "".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True))
    lines = [f"  {'':<28}{header}"]
    for metric in (*benchmark.metrics, Metric("memory", "MiB", more_is_better=False)):
        cells = [_shown(result, OURS, metric)]
        for rival in rivals:
            ratio = result.ratio(rival, metric.name)
            cells += [_shown(result, rival, metric), "" if ratio is None else f"{ratio:.2f}x"]
        lines.append(
            f"  {metric.name + ' ' + metric.unit:<28}"
            + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        )
    return lines


def _shown(result: Result, contestant: str, metric: Metric) -> str:
    value = result.median(contestant, metric.name)
    return "failed" if value is None else _number(value)


def _cell(result: Result, contestant: str, metric: Metric) -> str:
    values = [figures[metric.name] for figures in result.rounds[contestant] if figures]
    if not values:
        return f"{'failed':>20}{'':>22}"
    span = f"{_number(min(values))}..{_number(max(values))}"
    return f"{_number(statistics.median(values)):>20}{span:>22}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _verdicts(result: Result) -> list[tuple[str, str]]:
    verdicts = []
    for floor in result.lineup.floors:
        options = [floor] if floor.alternative is None else [floor, floor.alternative]
        reached = [_reached(result, option) for option in options]
        text = " or ".join(_describe(result.benchmark, option) for option in options)
        actual = ", ".join(shown for _, shown in reached)
        verdicts.append((text, f"{'met' if any(met for met, _ in reached) else 'NOT MET'} ({actual})"))
    return verdicts


def _describe(benchmark: Benchmark, floor: Floor) -> str:
    metric = benchmark.metric(floor.metric)
    most = "at least" if metric.more_is_better else "at most"
    whose = metric.name if floor.contestant == OURS else f"{metric.name} of {floor.contestant}"
    if floor.against is None:
        return f"{whose} {most} {floor.bound:,g} {metric.unit}"
    return f"{whose} {most} {floor.bound:g}x {floor.against}"


def _reached(result: Result, floor: Floor) -> tuple[bool, str]:
    if floor.against is None:
        value = result.median(floor.contestant, floor.metric)
        shown = _number(value)
    else:
        value = result.ratio(floor.against, floor.metric, floor.contestant)
        shown = "-" if value is None else f"{value:.2f}x"
    if value is None:
        return False, "no figures"
    more = result.benchmark.metric(floor.metric).more_is_better
    return (value >= floor.bound if more else value <= floor.bound), shown


def as_data(result: Result) -> dict[str, object]:
    """The result for ``--json``: medians, ratios, verdicts and each round's figures."""
    benchmark = result.benchmark
    names = [metric.name for metric in benchmark.metrics]
    return {
        "benchmark": benchmark.name,
        "store": result.store,
        "size": result.size,
        "units": {metric.name: metric.unit for metric in benchmark.metrics},
        "medians": {who: {name: result.median(who, name) for name in names} for who in result.rounds},
        "ratios": {who: {name: result.ratio(who, name) for name in names} for who in result.rounds if who != OURS},
        "floors": [{"floor": text, "verdict": verdict} for text, verdict in _verdicts(result)],
        "rounds": result.rounds,
        "errors": result.errors,
        "left_out": sorted(result.left_out),
    }


def _asked_of(store: Store) -> list[str]:
    """The benchmarks in which anybody takes part there."""
    return [name for name, benchmark in BENCHMARKS.items() if benchmark.lineup(store).contestants]


def _machine(store: Store, folder: Path) -> str:
    """What the figures depend on, in one line."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"Python {platform.python_version()}, {describe(store)}, "
        f"{os.cpu_count()} processors, load {load}, one durable 4 KiB write {_flush_ms(folder):.2f} ms"
    )


def _flush_ms(folder: Path, writes: int = 20) -> float:
    seconds = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(writes):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="This project beside its peers and the raw store.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(BENCHMARKS)}")
    parser.add_argument("--store", choices=STORES, default=SQLITE, help="where jobs are stored (default: sqlite)")
    parser.add_argument("--rounds", type=int, help="rounds for each benchmark (default: 5, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it work, roughly how fast")
    parser.add_argument(
        "--size", type=int, help="jobs or requests for each contestant, in place of each benchmark's own"
    )
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--folder", type=Path, default=_disk(), help="where databases go; must be on a disk")
    asked = parser.parse_args(given)
    names = _asked_of(asked.store)
    if unknown := sorted(set(asked.names) - set(names)):
        there = "" if asked.store == SQLITE else f" on {asked.store}"
        parser.error(f"no benchmark named {', '.join(unknown)}{there}: choose from {', '.join(names)}")
    return asked


def _disk() -> Path:
    """A temporary folder that is on a disk: the usual one often is in memory, where a flush costs nothing."""
    durable = Path("/var/tmp")
    return durable if os.access(durable, os.W_OK) else Path(tempfile.gettempdir())


if __name__ == "__main__":
    sys.exit(main())
