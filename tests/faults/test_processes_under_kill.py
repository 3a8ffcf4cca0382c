"""``goose queue work`` with several processes, of which one after the other is killed: nothing is lost, and it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import psutil
import pytest

import goose
from checker import Dispatched, attempts_in_flight, check
from faults.application import LEASE, Step, application
from fleet import Fleet, Process
from goose_queues import Client
from servers.shared import room
from soak import SOAK, size
from waiting import wait_until

PROCESSES = size(2, 4)
KILLS = size(3, 10)
"""In the suite exactly so many, each of a process with jobs in hand; in a soak at least, one a second for a minute while any is at work."""
SECONDS, EVERY = 60.0, 1.0


class KeptFleet(Fleet):
    """Its processes are those of the ``goose`` command, which it keeps running itself."""

    def __init__(self, folder: Path) -> None:
        there = room("postgres")
        there.empty()
        super().__init__(folder, Path("faults.kept:app"), LEASE, there.url)

    def launch(self, script: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> Process:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "goose", "--app", str(script), *arguments]
            path = {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
            return subprocess.Popen(command, env={**os.environ, **environ, **path}, stdout=log, stderr=log)


class Kept:
    """One of the processes that are kept running, as far as a kill goes."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.returncode = None

    def poll(self) -> None:
        return None

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        """Until its parent has taken note of its end."""
        return int(self._process.wait(timeout) or 0)

    def send_signal(self, sig: int, /) -> None:
        self._process.send_signal(sig)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[KeptFleet]:
    fleet = KeptFleet(tmp_path)
    yield fleet
    fleet.end()


async def test_nothing_is_lost_and_the_parent_stays(fleet: KeptFleet) -> None:
    """A random process dies every second: every job comes to its end, and SIGTERM still ends all with exit code 0."""
    chance, ids = Random(1), []
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        parent = fleet.start("queue", "work", "--processes", str(PROCESSES), "--concurrency", "8", "--json-logs")
        await wait_until(lambda: len(fleet.ledger.by_job("up")) == PROCESSES, deadline=60)
        dispatching = asyncio.ensure_future(dispatch(kernel.get(Client), ids))
        await (kill_blindly if SOAK else kill_the_busy)(fleet, parent, chance)
        dispatching.cancel()
        await asyncio.wait((dispatching,))
        await wait_until(fleet.is_over, deadline=300)
        assert parent.poll() is None, fleet.log.read_text()
        parent.send_signal(signal.SIGTERM)
        await wait_until(lambda: parent.poll() is not None)
    history = fleet.history(dict.fromkeys(ids, Dispatched()))
    hits = attempts_in_flight(history)
    endings = [ending.status for ending in history.endings.values()]
    print(f"{len(ids)} jobs, {endings.count('completed')} completed, {endings.count('failed')} failed by deaths")
    print(f"{len(hits)} kills, in flight at each {hits}")
    ready = fleet.log.read_text().count('"event": "ready"')
    print(f"{ready} processes were at work")
    assert check(history) == []
    assert parent.returncode == 0, fleet.log.read_text()
    assert len(hits) >= KILLS
    assert sum(hits) > 0, "the kills hit nothing"


async def kill_blindly(fleet: Fleet, parent: Process, chance: Random) -> None:
    """Every second kill one of those that are at work, whatever it does; what has not begun yet has nothing to lose."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        await asyncio.sleep(EVERY)
        up = {entry.pid for entry in fleet.ledger.read() if entry.event == "up"}
        if found := [process for process in there(fleet, parent) if process.pid in up]:
            fleet.kill(chance.choice(found))


async def kill_the_busy(fleet: Fleet, parent: Process, chance: Random) -> None:
    """Kill some that have jobs in hand, and have their leases end at once."""
    for _ in range(KILLS):
        await wait_until(lambda: any(map(fleet.running, there(fleet, parent))), deadline=60)
        victim = max(chance.sample(found := there(fleet, parent), len(found)), key=fleet.running)
        fleet.kill(victim)
        fleet.end_leases(victim)


def there(fleet: Fleet, parent: Process) -> list[Kept]:
    assert parent.poll() is None, fleet.log.read_text()
    return [Kept(process) for process in psutil.Process(parent.pid).children()]


async def dispatch(queue: Client, ids: list[str]) -> None:
    """Dispatch steps of different lengths, until cancelled; the ids of those that are acknowledged."""
    while True:
        handles = await queue.dispatch_many(Step(seconds=seconds) for seconds in (0.02, 0.05, 0.1, 0.2, 0.3))
        ids += [handle.id for handle in handles]
        await asyncio.sleep(0.1)
