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
from typing import Any, Final, Literal, Protocol, TypeAlias

Event: TypeAlias = Literal["up", "dispatched", "start", "end", "seen", "error", "held", "freed"]
"""``up``: a process works under the identity that stands in place of a job. ``dispatched``: acknowledged to its caller.
``start``, ``end``: a handler began or ended an attempt. ``seen``: somebody read the status in ``note``. ``error``: user
code got the error in ``note``. ``held``, ``freed``: a foreigner's lock."""
Outcome: TypeAlias = Literal["returned", "raised", "interrupted", "snoozed"]
"""How a handler ended: ``interrupted`` when it was cancelled from outside."""

AHEAD: Final = "CLOCK_AHEAD"
"""The environment's variable for the seconds by which a process's clock is made to be wrong; see ``faults.wrong_clock``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    event: Event
    job: str
    attempt: int
    pid: int
    at: float
    """Seconds since the epoch by the machine's clock, on which all writers are, whatever time it is in their process."""
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
        self._read: list[Entry] = []
        self._offset = 0

    def write(self, event: Event, job: str, attempt: int = 0, note: Any = None, outcome: Outcome | None = None) -> None:
        line = json.dumps([event, job, attempt, os.getpid(), self.now(), note, outcome]) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def now(self) -> float:
        """The time as the ledger has it."""
        return time.time() - float(os.environ.get(AHEAD, "0"))

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
        """All entries; it costs no more than what has come since the last time."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(whole + newline)
            self._read += [Entry(*json.loads(line)) for line in whole.splitlines()]
        return self._read.copy()

    def by_job(self, event: Event) -> dict[str, list[Entry]]:
        """The entries of this kind, by job."""
        found: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.read():
            if entry.event == event:
                found[entry.job].append(entry)
        return found
