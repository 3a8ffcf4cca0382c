"""Workers in a process of their own that say what their jobs do and when; the far side of ``elsewhere``.

The near side boots the same application without workers, to dispatch and to steer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import goose
from goose import Kernel, Module
from goose_queues import Job, JobContext

from .ours import Work, queues_of


class Nap(Job, timeout=None, max_retries=0):
    """Says when it starts and when it ends, and sleeps in between."""

    number: int
    seconds: float = 0.0

    async def handle(self, ctx: JobContext) -> None:
        """Sleep; ends early where it is cancelled."""
        Said.by("started", self.number)
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
        finally:
            Said.by("ended", self.number)


def _print(what: str, number: int) -> None:
    print(what, number, f"{time.time():.6f}", flush=True)


class Said:
    """Where the jobs of this process say what they do."""

    by: Callable[[str, int], None] = staticmethod(_print)


class NapModule(Module):
    """Declares the jobs."""

    declarations = (Nap, Work)


@asynccontextmanager
async def napping(url: str, slots: int = 0) -> AsyncIterator[Kernel]:
    """Boot the application on a database; without slots it has no workers."""
    async with goose.running(goose.worker(NapModule, [queues_of(url, slots)]), background=slots > 0) as kernel:
        yield kernel


async def main() -> None:
    """``URL SLOTS``: work until the standard input ends."""
    async with napping(sys.argv[1], int(sys.argv[2])):
        _print("ready", 0)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
