"""This project's side of ``held_snapshot``: dispatch, claim and settle at a steady rate, each claim timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

import goose
from goose_queues import Client, QueuesModule
from goose_queues.record import Claim, Completed, Settlement
from goose_queues.store import Store
from goose_queues.supervisor import Supervisor

from .contest import BenchmarkError, Figures, Trial
from .measure import percentiles
from .ours import BenchModule, Work, job
from .place import MARIADB

RATE: Final = 1000
"""Jobs a second that come and go."""
TOGETHER: Final = 10
"""Of one claim."""
ROUND: Final = 100
"""Dispatched at once; so long is the backlog at most."""
SAMPLE: Final = 5.0
"""Seconds of which the claims are kept, before and at the end."""
_CLAIM: Final = Claim("default", frozenset({Work.__name__}), TOGETHER, 30.0, "a-worker")


def held(trial: Trial) -> Figures:
    """Percentiles of the claims in milliseconds, and how many times the later 99th is the earlier one."""
    before, after = asyncio.run(_measure(trial))
    first, last = percentiles(before), percentiles(after)
    return {
        **{f"before_{cut}": value for cut, value in first.items()},
        **{f"after_{cut}": value for cut, value in last.items()},
        "growth": last["p99"] / first["p99"],
    }


async def _measure(trial: Trial) -> tuple[list[float], list[float]]:
    sample = min(SAMPLE, trial.size)
    queues = QueuesModule(url=trial.url, auto_migrate=True)
    async with goose.running(goose.worker(BenchModule, [queues])) as kernel:
        client, store = kernel.get(Client), kernel.get(Supervisor).store
        await _churn(client, store, 1.0)
        before = await _churn(client, store, sample)
        async with _snapshot(trial):
            await _churn(client, store, max(0.0, trial.size - sample))
            after = await _churn(client, store, sample)
    return before, after


async def _churn(client: Client, store: Store, seconds: float) -> list[float]:
    """Let jobs come and go for so long; how long each claim took."""
    claims: list[float] = []
    started = time.perf_counter()
    rounds = 0
    while time.perf_counter() - started < seconds:
        await client.dispatch_many(job(number) for number in range(ROUND))
        for _ in range(ROUND // TOGETHER):
            called = time.perf_counter()
            claimed = await store.claim(_CLAIM)
            claims.append(time.perf_counter() - called)
            if len(claimed.jobs) != TOGETHER:
                raise BenchmarkError(f"{len(claimed.jobs)} jobs were claimed, not {TOGETHER}")
            if await store.settle([Settlement(one, Completed()) for one in claimed.jobs]):
                raise BenchmarkError("a lease was lost")
        rounds += 1
        await asyncio.sleep(max(0.0, rounds * ROUND / RATE - (time.perf_counter() - started)))
    return claims


@asynccontextmanager
async def _snapshot(trial: Trial) -> AsyncIterator[None]:
    """A transaction of somebody else's that has read once and does nothing."""
    driver = "mariadb+asyncmy" if trial.store == MARIADB else "postgresql+psycopg"
    engine = create_async_engine(make_url(trial.url).set(drivername=driver), isolation_level="REPEATABLE READ")
    try:
        async with engine.connect() as connection:
            await connection.execute(text("select count(*) from goose_jobs"))
            yield
    finally:
        await engine.dispose()
