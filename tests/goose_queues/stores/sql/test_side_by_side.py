"""Several processes at one queue of a server: each job is done once, whoever else claims, settles and inserts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import pytest

from goose_queues.clock import Clock
from goose_queues.record import Completed, Released, Settlement
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.shared import DATABASES, room
from store_contract.making import claim, new_job

STORES: Final = 8
JOBS: Final = 5_000


@pytest.fixture(params=DATABASES)
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[list[SqlStore]]:
    there = room(request.param)
    there.empty()
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(STORES):
            store = SqlStore(Database(there.url, pool_size=2), Clock(), owns_database=True, auto_migrate=True)
            await store.open()
            stack.push_async_callback(store.close)
            found.append(store)
        yield found
    there.empty()


async def test_eight_stores_do_each_job_once(stores: list[SqlStore]) -> None:
    done: Counter[str] = Counter()
    wanted: list[str] = []
    returned: set[str] = set()

    async def insert(store: SqlStore) -> None:
        for _ in range(JOBS // STORES // 25):
            jobs = [new_job(priority=number % 3) for number in range(25)]
            wanted.extend(job.id for job in jobs)
            await store.insert(jobs)

    async def work(store: SqlStore, inserting: asyncio.Task[None]) -> None:
        while True:
            was_over = inserting.done()
            claimed = await claim(store, 50)
            if not claimed.jobs:
                if was_over:
                    return
                continue
            # One in ten goes back, so that rows return to where others are claiming.
            back = {job.id for job in claimed.jobs[::10]} - returned
            returned.update(back)
            outcomes = [Settlement(job, Released() if job.id in back else Completed()) for job in claimed.jobs]
            assert await store.settle(outcomes) == frozenset()
            done.update(it.claimed.id for it in outcomes if isinstance(it.outcome, Completed))

    async def all_inserts() -> None:
        await asyncio.gather(*(insert(store) for store in stores))

    inserting = asyncio.create_task(all_inserts())
    await asyncio.gather(*(work(store, inserting) for store in stores))
    # What was released at the very end is still there.
    await work(stores[0], inserting)
    assert done == Counter(wanted)
    stats = (await stores[0].stats())["default"]
    assert (stats.pending, stats.processing, stats.completed) == (0, 0, len(wanted))
