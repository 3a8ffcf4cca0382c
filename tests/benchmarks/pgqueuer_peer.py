"""PgQueuer with its fast settings: asyncpg, uvloop, large batches, its durable tables tuned as ``pgq autovac`` does it."""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from .measure import text_for
from .served import beside

BATCH = 100
"""Of one dequeue: as many as this project runs at once. More managers than one only slow each other down."""
LARGE_BATCH = 500
"""With which it drains fastest."""
PRODUCERS = 10
"""Connections of the pool that stores jobs, as its documentation advises."""
ENTRYPOINT = "work"


class PgQueuerPeer:
    """Its entry point counts; its jobs are stored by one call of ``enqueue``."""

    def __init__(self, url: str, queries: Any, counter: Callable[[int], None], batch: int) -> None:
        self._url = url
        self._queries = queries
        self._counter = counter
        self._batch = batch

    async def dispatch(self, number: int) -> None:
        """One insert in autocommit."""
        await self._queries.enqueue(ENTRYPOINT, _payload(number))

    async def dispatch_many(self, numbers: Sequence[int]) -> None:
        """One insert of arrays."""
        payloads = [_payload(number) for number in numbers]
        await self._queries.enqueue([ENTRYPOINT] * len(payloads), payloads, [0] * len(payloads))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A manager with a connection of its own, until the block ends."""
        asyncpg: Any = importlib.import_module("asyncpg")
        library: Any = importlib.import_module("pgqueuer")
        connection = await asyncpg.connect(self._url)
        try:
            manager = library.PgQueuer.from_asyncpg_connection(connection)

            async def work(job: Any) -> None:
                self._counter(json.loads(job.payload)["number"])

            manager.entrypoint(ENTRYPOINT)(work)
            async with beside(manager.run(batch_size=self._batch), manager.shutdown.set):
                yield
        finally:
            await connection.close()

    async def unfinished(self) -> int:
        """What is left in the queue's table; what has run is deleted from it."""
        return sum(entry.count for entry in await self._queries.queue_size())


@asynccontextmanager
async def pgqueuer(url: str, counter: Callable[[int], None], batch: int = BATCH) -> AsyncIterator[PgQueuerPeer]:
    """Install it in the database."""
    asyncpg: Any = importlib.import_module("asyncpg")
    drivers: Any = importlib.import_module("pgqueuer.db")
    queries: Any = importlib.import_module("pgqueuer.queries")
    async with asyncpg.create_pool(url, min_size=PRODUCERS, max_size=PRODUCERS) as pool:
        found = queries.Queries(drivers.AsyncpgPoolDriver(pool))
        await found.install()
        await found.optimize_autovacuum()
        yield PgQueuerPeer(url, found, counter, batch)


def _payload(number: int) -> bytes:
    return json.dumps({"number": number, "text": text_for(number)}, separators=(",", ":")).encode()
