"""The benchmarks run: every contestant, tiny sizes, every job counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``make bench`` with these arguments."""
    command = [sys.executable, "-m", "tests.benchmarks.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_every_contestant_of_every_benchmark_reports_figures(tmp_path: Path) -> None:
    """One round with twenty jobs each ends without a missing job and has a median for every contestant."""
    done = bench("--quick", "--size", "20", "--folder", str(tmp_path), "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "figures.json").read_text())
    assert [result["benchmark"] for result in results] == [
        "drain",
        "dispatch_alone",
        "dispatch_together",
        "dispatch_many",
        "latency",
        "web",
        "boot",
        "importing",
    ]
    for result in results:
        for contestant, medians in result["medians"].items():
            for metric, value in medians.items():
                assert value is not None, (result["benchmark"], contestant, metric)


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    """A name that is none ends with the names that there are."""
    done = bench("drian")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "make bench: error: no benchmark named drian: choose from drain, dispatch_alone, dispatch_together, "
        "dispatch_many, latency, web, boot, importing"
    )
