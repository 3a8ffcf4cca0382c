"""This project's side of ``steering``: one process steers, another works."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from goose_queues import Client

from .contest import BenchmarkError, Trial
from .elsewhere import Elsewhere, elsewhere
from .elsewhere_goose import Nap, napping

SLOTS = 4
LONG = 3600.0
SHORT = 0.005
"""Seconds that a job takes: the first is there to be cancelled, the others keep every slot busy."""
QUIET = 0.5
"""Seconds for which nothing may have started after a pause before it is believed."""
A_SECOND = 1.0
PER_ROUND = int(2 * SLOTS * (A_SECOND + QUIET) / SHORT)
"""Jobs that are surely enough for one round of pausing."""


async def steer(trial: Trial) -> tuple[list[float], list[float], list[float]]:
    """Seconds from asking until a running job was cancelled, the last job started in a queue, the first started again."""
    async with AsyncExitStack() as stack:
        client = (await stack.enter_async_context(napping(trial.url))).get(Client)
        other = await stack.enter_async_context(elsewhere(trial.url, SLOTS))
        cancelled = [await _cancel(client, other, number) for number in range(trial.size)]
        paused, resumed = await _pause_and_resume(client, other, trial.size)
    return cancelled, paused, resumed


async def _cancel(client: Client, other: Elsewhere, number: int) -> float:
    handle = await client.dispatch(Nap(number=number, seconds=LONG))
    await other.when("started", number)
    # The worker looks at intervals: at any moment of one somebody may ask.
    await asyncio.sleep(random.uniform(0, 0.5))
    asked = time.time()
    await client.cancel(handle.id)
    return await other.when("ended", number) - asked


async def _pause_and_resume(client: Client, other: Elsewhere, rounds: int) -> tuple[list[float], list[float]]:
    numbers = range(rounds, rounds + (rounds + 1) * PER_ROUND)
    await client.dispatch_many(Nap(number=number, seconds=SHORT) for number in numbers)
    paused, resumed = [], []
    for _ in range(rounds):
        await other.next_start()
        await asyncio.sleep(random.uniform(0, 0.1))
        asked = time.time()
        await client.pause("default")
        await asyncio.sleep(QUIET)
        last = other.starts[-1]
        if time.time() - last < QUIET / 2:
            raise BenchmarkError(f"a paused queue went on for more than {last - asked:.1f} s")
        paused.append(max(last - asked, 0.0))
        asked = time.time()
        await client.resume("default")
        resumed.append(await other.next_start() - asked)
    await client.purge("default")
    return paused, resumed


def spread(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """The median and the longest, in milliseconds."""
    ordered = sorted(seconds)
    return {f"{name}_p50": ordered[len(ordered) // 2] * 1000, f"{name}_max": ordered[-1] * 1000}
