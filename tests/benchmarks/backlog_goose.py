"""This project's side of ``backlog``."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor

from .contest import BenchmarkError, Trial
from .crowd_rows import crowd
from .measure import LIMIT
from .ours import Work, running


def peak(trial: Trial, waiting: int, runs: int) -> float:
    """The most memory in MiB that this process ever had, after a worker has run so many of the jobs that wait."""
    return asyncio.run(_peak(trial, waiting, runs))


async def _peak(trial: Trial, waiting: int, runs: int) -> float:
    ran, enough = set[int](), asyncio.Event()

    def count(number: int) -> None:
        if number in ran:
            raise BenchmarkError(f"job {number} ran twice")
        ran.add(number)
        if len(ran) >= runs:
            enough.set()

    async with running(trial, count, background=False):
        # In a process of its own, as this one's memory is what is measured.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(crowd, trial.file, Work.__name__, ready=waiting).result()
    async with running(trial, count, background=True) as client:
        async with asyncio.timeout(LIMIT):
            await enough.wait()
        await client.stats()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
