"""The application that a bench runs: one job that does nothing but count itself, and no code of anybody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import goose
from goose import Instance, Module, declare
from goose_queues.bench.ground import QUEUE, Ground
from goose_queues.config import Settings
from goose_queues.context import JobContext
from goose_queues.errors import BenchFailed
from goose_queues.job import Job
from goose_queues.module import QueuesModule

PATIENCE: Final = 60.0
"""Seconds without a job that ends, after which the rest of them is not waited for."""
SMALLEST: Final = len('{"text":""}')
"""Bytes of the smallest payload."""
TENTH: Final = 10
"""Of what a step has to do: so often its progress is told, which takes time itself."""


class NoOp(Job, name="goose.bench"):
    """Does nothing."""

    text: str

    async def handle(self, ctx: JobContext) -> None:
        """Count."""
        ctx.get(Tally)()


class Tally:
    """Counts jobs inside their handler."""

    def __init__(self) -> None:
        self.last_at = 0.0
        """When the last handler was begun, by ``time.perf_counter``."""
        self._ran = self._expected = 0
        self._tell: Callable[[int], None] | None = None
        self._complete = asyncio.Event()

    def expect(self, jobs: int, tell: Callable[[int], None] | None = None) -> None:
        """Begin anew; ``tell`` is called now and then with how many more have run."""
        self._ran, self._expected, self._tell = 0, jobs, tell
        self._complete.clear()

    def __call__(self) -> None:
        """One more has run."""
        self._ran += 1
        if self._ran == self._expected:
            self.last_at = time.perf_counter()
            self._complete.set()
        every = max(self._expected // TENTH, 1)
        if self._tell is not None and self._ran % every == 0:
            self._tell(every)

    async def complete(self) -> None:
        """Wait until all have run.

        Raises:
            BenchFailed: Nothing happens any more.
        """
        while not self._complete.is_set():
            before = self._ran
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._complete.wait()
            except TimeoutError:
                if self._ran == before:
                    raise BenchFailed(
                        f"{self._ran} of {self._expected} jobs have run, and none for {PATIENCE:g} s: see the log"
                    ) from None


def no_ops(count: int, size: int) -> list[NoOp]:
    """So many jobs, whose payload is ``size`` bytes of JSON each."""
    return [NoOp(text="x" * (size - SMALLEST)) for _ in range(count)]


def payloads(jobs: Sequence[NoOp]) -> list[str]:
    """What is stored of them."""
    return [job.model_dump_json() for job in jobs]


def application(settings: Settings, ground: Ground, concurrency: int, tally: Tally) -> Instance:
    """Such an application on its ground, with the settings of the user's own as far as they are no matter of its jobs."""

    class BenchModule(Module):
        declarations = (NoOp, declare(Tally, value=tally))

    own = {
        "url": ground.url,
        "table_prefix": ground.prefix,
        "auto_migrate": True,
        "queue": QUEUE,
        "queues": (QUEUE,),
        "workers": concurrency,
        "limits": {},
        "middleware": (),
        # What has run stays to be counted.
        "retention_period": Settings.model_fields["retention_period"].default,
    }
    return goose.worker(BenchModule, [QueuesModule(**{**dict(settings), **own})])
