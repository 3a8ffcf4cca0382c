"""Every example passes its own tests, and the demo runs to its end, each in a process of its own as a reader runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL

from servers.shared import connect, driver_of, room

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/main.py"))


def run(folder: Path, *arguments: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_own_tests(example: Path) -> None:
    """An example's tests pass in its folder."""
    run_tests(example)


def run_tests(folder: Path, **environ: str) -> None:
    assert " passed" in run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", **environ)


def test_own_tests_with_the_queue_in_another_file() -> None:
    """The same tests pass where nothing but the URL of the queue is another."""
    run_tests(ROOT / "examples" / "orders", GOOSE_QUEUES_URL="sqlite://")


@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_own_tests_with_the_queue_on_a_server(store: str) -> None:
    """They do so here, and it is there that the jobs have been."""
    there = room(store)
    there.clear()
    run_tests(ROOT / "examples" / "orders", GOOSE_QUEUES_URL=there.url.render_as_string(hide_password=False))
    assert has_been_used(there.url)
    there.clear()


def has_been_used(url: URL) -> bool:
    with closing(connect(url)) as server:
        if driver_of(url) == "redis":
            return bool(server.dbsize())
        return bool(server.execute("SELECT 1 FROM pg_tables WHERE tablename LIKE 'orders%jobs'").fetchone())


def test_demo() -> None:
    """The demo serves, takes orders, follows their jobs and stops the server, saying so."""
    said = run(ROOT / "examples" / "orders", "demo.py")
    assert "emails: 0 pending, 0 processing, 3 completed, 0 failed" in said
    assert said.endswith("[demo] done. The code is in examples/orders; start with main.py.\n")
