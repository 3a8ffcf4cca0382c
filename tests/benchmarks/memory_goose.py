"""This project's side of ``memory``: an application that dispatches and works without end, sampled."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import NamedTuple

import psutil

import goose
from goose import Module
from goose_queues import Client, Job, JobContext, JobFailed, JobHandle

from .contest import BenchmarkError, Trial
from .measure import LIMIT
from .ours import queues_of

WAVE = 500
"""Jobs between two samples."""
OUTSTANDING = 4 * WAVE
ALONE = 20
"""Jobs of a wave that are dispatched each for itself."""
SLOTS = 100


class Sample(NamedTuple):
    """What the process used at one moment."""

    mebibytes: float
    files: int


class Ended:
    """Which jobs have come to their end, in a memory that does not grow."""

    marks = bytearray()

    @classmethod
    def mark(cls, number: int) -> None:
        """Note the end of a job; from any thread."""
        cls.marks[number] += 1

    @classmethod
    def count(cls) -> int:
        """How many have come to it."""
        return len(cls.marks) - cls.marks.count(0)


class Failing(Exception):
    """What some of the jobs raise."""


class Small(Job, max_retries=1, retry_delay=timedelta(seconds=0.1)):
    """Of a hundred, five fail once, one of them twice."""

    number: int
    text: str = "x" * 100

    async def handle(self, ctx: JobContext) -> int:
        """Fail, or return a result."""
        kind = self.number % 100
        if kind < 5 and ctx.attempt == 1:
            raise Failing("once")
        Ended.mark(self.number)
        if kind == 0:
            raise Failing("for good")
        return self.number


class InThread(Job):
    """Runs in a thread."""

    number: int

    def handle(self, ctx: JobContext) -> None:
        """Come to its end."""
        Ended.mark(self.number)


class MemoryModule(Module):
    """Declares the jobs."""

    declarations = (Small, InThread)


def samples(trial: Trial) -> list[Sample]:
    """What the process uses, wave after wave; raises unless each job has come to its end, and once."""
    Ended.marks = bytearray(trial.size)
    found = asyncio.run(_run(trial))
    if set(Ended.marks) != {1}:
        raise BenchmarkError(f"{Ended.marks.count(0):,} jobs are missing, {sum(map(bool, Ended.marks)):,} have ended")
    return found


async def _run(trial: Trial) -> list[Sample]:
    process, found = psutil.Process(), list[Sample]()
    numbers = iter(range(trial.size))
    dispatched = 0
    logging.getLogger("goose_queues").setLevel(logging.CRITICAL)
    async with goose.running(goose.worker(MemoryModule, [queues_of(trial.url, SLOTS)]), background=True) as kernel:
        client = kernel.get(Client)
        while wave := [_job(number) for number in islice(numbers, WAVE)]:
            await _dispatch(client, wave)
            dispatched += len(wave)
            await _until_ended(dispatched - OUTSTANDING)
            found.append(Sample(process.memory_info().rss / 2**20, process.num_fds()))
        await _until_ended(dispatched)
        found.append(Sample(process.memory_info().rss / 2**20, process.num_fds()))
    return found


def _job(number: int) -> Job:
    return InThread(number=number) if number % 100 >= 95 else Small(number=number)


async def _dispatch(client: Client, wave: list[Job]) -> None:
    """A part each for itself, all at once; the rest by one sentence; then look, as an application does."""
    alone, together = wave[:ALONE], wave[ALONE:]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_dispatch_one(client, job)) for job in alone]
    await client.dispatch_many(together)
    with suppress(JobFailed):
        await tasks[-1].result().result(timeout=LIMIT)
    await client.stats()


async def _dispatch_one(client: Client, job: Job) -> JobHandle:
    return await client.dispatch(job)


async def _until_ended(count: int) -> None:
    async with asyncio.timeout(LIMIT):
        while Ended.count() < count:  # noqa: ASYNC110 - threads end jobs too
            await asyncio.sleep(0.005)
