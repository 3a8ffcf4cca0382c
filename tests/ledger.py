"""A ledger outside the store: what handlers really did, appended to a file that survives the death of its writers."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

Event: TypeAlias = Literal["dispatched", "start", "end", "seen", "error", "held", "freed"]
"""``dispatched``: acknowledged to its caller. ``start``, ``end``: a handler began or ended an attempt. ``seen``: somebody
read the status in ``note``. ``error``: user code got the error in ``note``. ``held``, ``freed``: a lock of a foreigner."""
Outcome: TypeAlias = Literal["returned", "raised", "interrupted", "snoozed"]
"""How a handler ended: ``interrupted`` when it was cancelled from outside."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    event: Event
    job: str
    attempt: int
    pid: int
    at: float
    """Seconds since the epoch; all writers are on one machine."""
    note: Any = None
    outcome: Outcome | None = None
    """Of an ``end``."""


class Running(Protocol):
    """What the ledger wants to know of a running attempt: a ``JobContext``."""

    @property
    def job_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...


class Ledger:
    """Appended to by any number of processes: one write, one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: Event, job: str, attempt: int = 0, note: Any = None, outcome: Outcome | None = None) -> None:
        line = json.dumps([event, job, attempt, os.getpid(), time.time(), note, outcome]) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    @contextmanager
    def attempt(self, ctx: Running) -> Iterator[None]:
        """The body of a handler: its start, and its end with how it came."""
        self.write("start", ctx.job_id, ctx.attempt)
        outcome: Outcome = "raised"
        try:
            yield
            outcome = "returned"
        except asyncio.CancelledError:
            outcome = "interrupted"
            raise
        finally:
            self.write("end", ctx.job_id, ctx.attempt, outcome=outcome)

    def read(self) -> list[Entry]:
        if not self.path.exists():
            return []
        return [Entry(*json.loads(line)) for line in self.path.read_text().splitlines()]

    def by_job(self, event: Event) -> dict[str, list[Entry]]:
        """The entries of this kind, by job."""
        found: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.read():
            if entry.event == event:
                found[entry.job].append(entry)
        return found
