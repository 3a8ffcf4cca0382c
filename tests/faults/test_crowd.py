"""Many processes on one SQLite file, and a foreign one that locks it: everyone gets on, and nobody hears of a lock."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from checker import TERMINAL, check
from fleet import Fleet
from ledger import Entry
from soak import size
from waiting import wait_until

PROCESSES = size(4, 8)
LOCKS = size(2, 6)
HELD = size(2.0, 3.0)
FREE = size(1.5, 7.0)
"""Seconds that the foreigner holds the lock, and leaves it alone."""
PATIENCE = 10.0
"""Seconds that a process may be kept from its work."""


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, Path(__file__).with_name("crowd.py"))
    yield fleet
    fleet.end()


async def test_nobody_starves(crowd: Fleet, tmp_path: Path) -> None:
    """Each process goes on dispatching and working, no error reaches anyone, nothing is lost, nothing runs twice."""
    enough = tmp_path / "enough"
    processes = [crowd.start(workers=8, ENOUGH=str(enough)) for _ in range(PROCESSES)]
    await wait_until(lambda: len(_pids(crowd, "end")) == PROCESSES, deadline=60)
    foreigner = crowd.start(
        str(crowd.hand.url.database), str(LOCKS), str(HELD), str(FREE), script=Path(__file__).with_name("foreigner.py")
    )
    await wait_until(lambda: foreigner.poll() is not None, deadline=LOCKS * (HELD + FREE) + 60)
    assert foreigner.returncode == 0, crowd.log.read_text()
    enough.touch()
    await wait_until(lambda: len(_pids(crowd, "enough")) == PROCESSES, deadline=60)
    await wait_until(lambda: all(ending.status in TERMINAL for ending in crowd.endings().values()), deadline=60)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in processes] == [0] * PROCESSES

    entries = crowd.ledger.read()
    assert [entry.note for entry in entries if entry.event == "error"] == []
    assert crowd.log.read_text() == "", "something was complained of"
    assert check(crowd.history()) == []
    assert _held_up(entries) == LOCKS, "the foreign lock held nobody up"
    gaps = {(p.pid, event): max(_gaps(entries, p.pid, event)) for p in processes for event in ("dispatched", "end")}
    print(f"{len(entries)} entries, longest gaps {sorted(gaps.values())}")
    assert max(gaps.values()) <= PATIENCE, gaps


def _pids(crowd: Fleet, event: str) -> set[int]:
    return {entry.pid for entry in crowd.ledger.read() if entry.event == event}


def _held_up(entries: list[Entry]) -> int:
    """How many times nothing was dispatched while the foreigner had the lock."""
    held = [entry.at for entry in entries if entry.event == "held"]
    freed = [entry.at for entry in entries if entry.event == "freed"]
    dispatched = [entry.at for entry in entries if entry.event == "dispatched"]
    # What was committed just before the lock is written down just after.
    return sum(
        not any(begun + HELD / 4 < at < ended for at in dispatched) for begun, ended in zip(held, freed, strict=True)
    )


def _gaps(entries: list[Entry], pid: int, event: str) -> list[float]:
    """Seconds between two pieces of work of one process, from the first lock on."""
    begun = next(entry.at for entry in entries if entry.event == "held")
    last = max(entry.at for entry in entries if entry.event == "dispatched")
    moments = [entry.at for entry in entries if entry.pid == pid and entry.event == event and begun <= entry.at <= last]
    return [after - before for before, after in pairwise([begun, *moments, last])]
