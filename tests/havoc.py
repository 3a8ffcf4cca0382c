"""Havoc: worker processes that are killed or stopped in turn, each replaced at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fleet import Fleet, Process
from soak import SOAK
from waiting import wait_until


class Havoc:
    """The workers of a fleet under attack.

    Args:
        fleet: Where they belong.
        number: How many there are at a time.
        environ: What else their processes find in their environment, and how many slots.
    """

    def __init__(self, fleet: Fleet, number: int, slots: int, **environ: str) -> None:
        self._fleet = fleet
        self._slots = slots
        self._environ = environ
        self.workers: Final = [self._start() for _ in range(number)]
        self.stopped: Final[list[Process]] = []
        """Those that were told to stop, in that order."""

    async def ready(self) -> None:
        """Wait until all are about to claim."""
        for worker in self.workers:
            await self._is_up(worker)

    @asynccontextmanager
    async def kills(self, every: float) -> AsyncIterator[None]:
        """Within the block a worker is killed each so many seconds, and each has so many to work in."""
        killing = asyncio.ensure_future(self._go_on(every))
        try:
            yield
            assert not killing.done(), killing.exception()
        finally:
            killing.cancel()
            await asyncio.wait((killing,))

    def kill(self) -> None:
        """Kill the busiest worker. In the suite its leases are over at once; a soak waits for them."""
        victim = max(self.workers, key=self._fleet.running)
        self.workers.remove(victim)
        self.workers.append(self._start())
        self._fleet.kill(victim)
        if not SOAK:
            self._fleet.end_leases(victim)

    def stop(self) -> Process:
        """Have the oldest worker stop gracefully; the one that was told."""
        leaving = self.workers.pop(0)
        self.workers.append(self._start())
        leaving.send_signal(signal.SIGTERM)
        self.stopped.append(leaving)
        return leaving

    async def dismiss(self) -> list[int]:
        """Have all that are left stop gracefully; their exit codes and those of all that were told before."""
        await self.ready()
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        return [worker.wait(60) for worker in (*self.stopped, *self.workers)]

    def _start(self) -> Process:
        return self._fleet.start("worker", workers=self._slots, **self._environ)

    async def _is_up(self, worker: Process) -> None:
        ledger = self._fleet.ledger
        await wait_until(lambda: any(entry.event == "up" and entry.pid == worker.pid for entry in ledger.read()))

    async def _go_on(self, every: float) -> None:
        while True:
            await self._is_up(self.workers[0])
            await asyncio.sleep(every)
            self.kill()
