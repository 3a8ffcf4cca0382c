"""Whoever can write to the store can run any registered job with any payload, and nothing else: shown by 10,000 edits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MUTATIONS = 10_000
SEED = 20


def test_rows_that_a_hand_has_edited_run_no_code_and_kill_no_worker(tmp_path: Path) -> None:
    """Random edits of rows before and while they are worked on.

    Each round, untouched jobs complete once with their own results, a fresh job runs in each queue, and everything can be
    looked at, steered, rescued and pruned; the program ends with an error where that is not so.
    """
    command = [sys.executable, str(Path(__file__).with_name("fuzzing.py")), str(tmp_path), str(SEED), str(MUTATIONS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
    report = json.loads(done.stdout)
    assert report["mutations"] >= MUTATIONS
    assert report["runs"] > MUTATIONS / 10
    assert report["seen"] == []
    assert not report["canary"]
    assert report["complaints"] == []
    assert report["ready"] == {"QueuesModule": None, "Supervisor.on_run": None}
    assert report["stuck"] == []
    assert report["threads"] < 60
