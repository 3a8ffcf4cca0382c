"""The benchmarks run: every contestant, tiny sizes, every job counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTESTS = {
    "drain": ["goose", "huey", "raw"],
    "dispatch_alone": ["goose", "huey", "raw"],
    "dispatch_together": ["goose", "huey", "huey threads", "raw"],
    "dispatch_many": ["goose", "raw"],
    "latency": ["goose", "huey", "raw"],
    "due": ["goose", "goose elsewhere", "huey"],
    "batches": ["goose", "plain jobs"],
    "chains": ["goose", "plain jobs"],
    "large_batch": ["goose", "plain jobs"],
    "steering": ["goose"],
    "crowd": ["goose", "empty table", "backlog"],
    "backlog": ["goose", "a hundredth"],
    "memory": ["goose"],
    "web": ["goose", "starlette"],
    "boot": ["goose"],
    "importing": ["goose", "goose_queues", "starlette+pydantic"],
}
SIZES = {"steering": 2}
"""Where the usual twenty would take long."""
WAITS = {"dispatch", "heartbeat", "dispatch_elsewhere", "heartbeat_elsewhere"}
"""A batch of twenty may be stored before a probe comes that could have waited for it."""
NONE = {"server_ms", "early", "growth", "files", "pause_p50", "pause_max", *WAITS}
"""What may be nought: processor time comes in hundredths of a second, and the others had better be."""


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", CONTESTS)
def test_every_contestant_does_all_its_work_and_has_figures(name: str, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = bench(name, "--quick", "--size", str(SIZES.get(name, 20)), "--folder", str(tmp_path), "--json", str(figures))
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(figures.read_text())
    assert list(result["medians"]) == CONTESTS[name]
    for medians in result["medians"].values():
        assert all(value > 0 or (value == 0 and metric in NONE) for metric, value in medians.items())


@pytest.mark.parametrize(
    ("handled", "sentence"),
    [
        ([0, 1], "2 of 3 jobs ran: 1 are missing"),
        ([0, 1, 1], "2 of 3 jobs ran: 1 are missing"),
        ([0, 1, 2, 2], "1 of 3 jobs ran more than once"),
    ],
)
def test_a_job_that_is_missed_or_runs_twice_spoils_the_run(handled: list[int], sentence: str) -> None:
    """``verify`` raises in the contestant's process, which then has no figures and an exit code that is not 0."""
    script = (
        "from tests.benchmarks.measure import Counter\n"
        "counter = Counter(3)\n"
        f"for number in {handled}: counter(number)\n"
        "counter.verify()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"tests.benchmarks.contest.BenchmarkError: {sentence}"


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    done = bench("drian")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "make bench: error: no benchmark named drian: choose from drain, dispatch_alone, dispatch_together, "
        "dispatch_many, latency, due, batches, chains, large_batch, steering, crowd, backlog, memory, web, boot, "
        "importing"
    )
