"""Every example passes its own tests, and the demo runs to its end, each in a process of its own as a reader runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/main.py"))


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_own_tests(example: Path) -> None:
    """An example's tests pass in its folder."""
    assert " passed" in run(example, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_demo() -> None:
    """The demo serves, takes orders, follows their jobs and stops the server, saying so."""
    said = run(ROOT / "examples" / "orders", "demo.py")
    assert "emails: 0 pending, 0 processing, 3 completed, 0 failed" in said
    assert said.endswith("[demo] done. The code is in examples/orders; start with main.py.\n")
