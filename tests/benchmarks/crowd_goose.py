"""This project's side of ``crowd``: each operation, timed as an application or a worker calls it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import goose
from goose_queues import Client, QueuesModule
from goose_queues.record import Claim, Claimed, Completed, JobFilter, Settlement
from goose_queues.store import Store
from goose_queues.stores.cursor import page_cursor
from goose_queues.supervisor import Supervisor

from .contest import BenchmarkError, Figures, Trial
from .crowd_rows import QUEUE, crowd
from .measure import percentiles
from .ours import BenchModule, Work, job

T = TypeVar("T")

SAMPLES: Final = 200
TOGETHER: Final = 10
"""Jobs of one claim and of one settling."""
WARM_UP: Final = 20
"""Claims before the clock starts; what they bring completes, so that there is a page of it behind another."""
PAGE: Final = 50
MEMBERS: Final = 100
_CLAIM: Final = Claim(QUEUE, frozenset({Work.__name__}), TOGETHER, 30.0, "a-worker")
_BEHIND: Final = f"""
select finished_at, id from goose_jobs where queue = '{QUEUE}' and state = 'completed' and finished_at is not null
order by finished_at, id desc limit 1 offset {PAGE + 1}
"""


def operate(trial: Trial, *, finished: int = 0, future: int = 0, ready: int = 0) -> Figures:
    """Percentiles in microseconds of every operation, among so many other jobs."""
    _copy_or_make(trial, finished, future, ready)
    figures: Figures = {}
    for operation, seconds in asyncio.run(_operate(trial.file, finished, future)).items():
        cuts = percentiles(seconds)
        figures |= {f"{operation}_p50": cuts["p50"] * 1000, f"{operation}_p99": cuts["p99"] * 1000}
    return figures


def _copy_or_make(trial: Trial, finished: int, future: int, ready: int) -> None:
    """The trial's file: made in the first round, a copy of that one from then on."""
    kept = trial.shared / f"crowd-{finished}-{future}-{ready}.db"
    if not kept.exists():
        asyncio.run(_make_tables(kept))
        crowd(kept, Work.__name__, finished=finished, future=future, ready=ready)
    shutil.copyfile(kept, trial.file)


async def _make_tables(file: Path) -> None:
    async with _running(file):
        return


@asynccontextmanager
async def _running(file: Path) -> AsyncIterator[tuple[Client, Store]]:
    """Boot the application without workers; with synchronous=NORMAL, as the disk's flush would hide what is measured."""
    queues = QueuesModule(url=f"sqlite:///{file}", synchronous="normal")
    async with goose.running(goose.worker(BenchModule, [queues])) as kernel:
        yield kernel.get(Client), kernel.get(Supervisor).store


async def _operate(file: Path, finished: int, future: int) -> dict[str, list[float]]:
    timed: dict[str, list[float]] = defaultdict(list)

    async def clock(operation: str, call: Callable[[], Awaitable[T]]) -> T:
        started = time.perf_counter()
        result = await call()
        timed[operation].append(time.perf_counter() - started)
        return result

    async with _running(file) as (client, store):
        batch = await client.batch(job(number) for number in range(MEMBERS)).dispatch()
        waiting = await client.dispatch_many(job(number) for number in range((WARM_UP + SAMPLES) * TOGETHER))
        for _ in range(WARM_UP):
            await _settle(store, await store.claim(_CLAIM))
        behind = _cursor_behind(file)
        for handle in waiting[:SAMPLES]:
            claimed = await clock("claim", lambda: store.claim(_CLAIM))
            await clock("settle", partial(_settle, store, claimed))
            await clock("dispatch", lambda: client.dispatch(job(0)))
            await clock("get_status", handle.status)
            await clock("stats", client.stats)
            await clock("get_batch", batch.progress)
            await clock("first_page", lambda: _page(client))
            await clock("far_page", lambda: _page(client, behind))
        stats = (await client.stats())[QUEUE]
        own = (WARM_UP + SAMPLES) * TOGETHER
        if (stats.completed + stats.failed, stats.scheduled) != (finished + own, future):
            raise BenchmarkError(f"{finished + own:,} jobs have finished and {future:,} are due later, not {stats}")
    return timed


async def _settle(store: Store, claimed: Claimed) -> None:
    if len(claimed.jobs) != TOGETHER or await store.settle([Settlement(one, Completed()) for one in claimed.jobs]):
        raise BenchmarkError(f"{len(claimed.jobs)} jobs were claimed, or a lease was lost")


async def _page(client: Client, behind: str | None = None) -> None:
    """What comes first of all jobs, or the completed ones behind a cursor."""
    wanted = client.jobs(queue=QUEUE, status=None if behind is None else "completed", limit=PAGE, cursor=behind)
    if len([found async for found in wanted]) != PAGE:
        raise BenchmarkError("a page that is not full")


def _cursor_behind(file: Path) -> str:
    """The cursor of a listing that has come to the last page of what has completed, without listing all before it."""
    connection = sqlite3.connect(file)
    row = connection.execute(_BEHIND).fetchone()
    connection.close()
    return page_cursor(JobFilter(QUEUE, "completed"), "completed", row)
