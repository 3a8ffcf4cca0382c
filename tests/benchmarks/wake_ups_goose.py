"""This project's side of ``wake_ups``: those who dispatch, and a worker's process that is told of it or is not."""

from __future__ import annotations

import asyncio
import gc
import time

from goose_queues import Client
from goose_queues.stores.sql.announcer import Announcer
from goose_queues.stores.sql.listener import Listener

from . import elsewhere_goose
from .contest import BenchmarkError, Figures, Trial
from .elsewhere import elsewhere
from .elsewhere_goose import napping
from .measure import LIMIT, drained
from .ours import job

CALLERS = 32
SLOTS = 100


def dispatch(trial: Trial, *, is_silent: bool) -> Figures:
    """So many callers at once; every job then runs, untimed."""
    if is_silent:
        silence()
    return asyncio.run(_dispatch(trial, __spec__.name if is_silent else elsewhere_goose.__name__))


def silence() -> None:
    """Let this process tell nobody and listen to nobody."""

    async def deaf(_: Listener) -> None:
        return

    Announcer.tell = lambda _, queues: None  # type: ignore[method-assign]
    Listener.run = deaf  # type: ignore[method-assign]


async def _dispatch(trial: Trial, far_side: str) -> Figures:
    async with napping(trial.url) as kernel, elsewhere(trial.url, SLOTS, far_side):
        client = kernel.get(Client)

        async def caller(first: int) -> None:
            for number in range(first, trial.size, CALLERS):
                await client.dispatch(job(number))

        gc.collect()
        started, used = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for first in range(CALLERS):
                group.create_task(caller(first))
        figures = drained(trial.size, time.perf_counter() - started, time.process_time() - used)
        await _until_completed(client, trial.size)
    return figures


async def _until_completed(client: Client, count: int) -> None:
    deadline = time.monotonic() + LIMIT
    while (completed := (await client.stats())["default"].completed) != count:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{completed:,} of {count:,} jobs were completed")
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    silence()
    asyncio.run(elsewhere_goose.main())
