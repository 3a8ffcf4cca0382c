"""A ledger outside the store: what handlers really did, appended to a file that survives the death of its writers."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a handler began or ended an attempt."""

    event: Literal["start", "end"]
    job: str
    attempt: int
    pid: int
    at: float
    """Seconds since the epoch; all writers are on one machine."""
    note: Any = None


class Ledger:
    """Appended to by any number of processes: one write, one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: Literal["start", "end"], job: str, attempt: int, note: Any = None) -> None:
        line = json.dumps([event, job, attempt, os.getpid(), time.time(), note]) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def read(self) -> list[Entry]:
        if not self.path.exists():
            return []
        return [Entry(*json.loads(line)) for line in self.path.read_text().splitlines()]

    def by_job(self, event: Literal["start", "end"]) -> dict[str, list[Entry]]:
        """The entries of this kind, by job."""
        found: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.read():
            if entry.event == event:
                found[entry.job].append(entry)
        return found
