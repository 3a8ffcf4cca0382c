"""Solitude: a job whose worker has died twice while it ran is run while nothing else runs in the process.

So it cannot take an innocent neighbour with it a third time. ``worker`` asks before it claims, and before it starts such
a job.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from goose_queues.record import ClaimedJob

SUSPECT: Final = 2
"""Deaths after which a job is run alone."""


class Solitude:
    """Who runs in one process, and whether somebody wants to be alone there; belongs to the event loop.

    Args:
        patience: Seconds that a suspect waits for the others to end. Then it starts in company: none of those has two
            deaths, so that even a third one of the suspect's does not fail them.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._company = 0
        self._suspects = 0
        self._turn = asyncio.Lock()
        self._alone = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._closing = asyncio.Event()

    @property
    def wanted(self) -> bool:
        """Whether a suspect runs or waits to: nothing is to be claimed meanwhile."""
        return self._suspects > 0

    async def over(self) -> None:
        """Wait until no suspect runs or waits."""
        await self._free.wait()

    def close(self) -> None:
        """Turn away those that wait: the process stops."""
        self._closing.set()

    def entered(self) -> None:
        """Another job runs."""
        self._company += 1

    def left(self) -> None:
        """It has ended."""
        self._company -= 1
        if not self._company:
            self._alone.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Wait for the turn of a suspect; gives False where the process stops first, so that it is not to be run."""
        self._suspects += 1
        self._free.clear()
        try:
            async with self._turn:
                await self._wait_for_quiet()
                yield not self._closing.is_set()
        finally:
            self._suspects -= 1
            if not self._suspects:
                self._free.set()

    async def _wait_for_quiet(self) -> None:
        if not self._company or self._closing.is_set():
            return
        self._alone.clear()
        waits = [asyncio.ensure_future(event.wait()) for event in (self._alone, self._closing)]
        try:
            await asyncio.wait(waits, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def is_suspect(claimed: ClaimedJob) -> bool:
    """Whether a job may be what killed its workers."""
    return claimed.deaths >= SUSPECT and claimed.failed_with is None
