"""This project's side of ``due``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime

from goose_queues import Client

from .contest import Trial
from .due import Start, times
from .elsewhere import elsewhere
from .elsewhere_goose import Nap, Said, napping
from .measure import LIMIT

SLOTS = 100


async def starts_here(trial: Trial) -> list[Start]:
    """With the workers in this process."""
    started: dict[int, float] = {}
    complete = asyncio.Event()

    def say(what: str, number: int) -> None:
        if what == "started":
            started[number] = time.time()
            if len(started) == trial.size:
                complete.set()

    Said.by = staticmethod(say)
    async with napping(trial.url, SLOTS) as kernel:
        due = times(trial.size)
        sent = await _dispatch(kernel.get(Client), due)
        async with asyncio.timeout(LIMIT):
            await complete.wait()
    return [Start(when.timestamp(), sent[number], started[number]) for number, when in enumerate(due)]


async def starts_elsewhere(trial: Trial) -> list[Start]:
    """With the workers in another process."""
    async with AsyncExitStack() as stack:
        kernel = await stack.enter_async_context(napping(trial.url))
        other = await stack.enter_async_context(elsewhere(trial.url, SLOTS))
        due = times(trial.size)
        sent = await _dispatch(kernel.get(Client), due)
        started = [await other.when("started", number) for number in range(trial.size)]
    return [Start(when.timestamp(), sent[number], started[number]) for number, when in enumerate(due)]


async def _dispatch(client: Client, due: Sequence[datetime]) -> dict[int, float]:
    """Dispatch all, each for its time; when each dispatch had returned."""
    sent: dict[int, float] = {}

    async def dispatch(number: int, when: datetime) -> None:
        await client.dispatch(Nap(number=number)).at(when)
        sent[number] = time.time()

    async with asyncio.TaskGroup() as group:
        for number, when in enumerate(due):
            group.create_task(dispatch(number, when))
    return sent
