"""Oban for Python, a hundred jobs at once; its library needs Python 3.12."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from .measure import text_for

SLOTS = 100
CONNECTIONS = 10
"""Of its pool; its own default."""


class ObanPeer:
    """Its worker counts; its jobs are stored by ``enqueue``."""

    def __init__(self, pool: Any, worker: Any) -> None:
        self._pool = pool
        self._worker = worker
        self._client: Any = importlib.import_module("oban").Oban(pool=pool, name="client")

    async def dispatch(self, number: int) -> None:
        """One insert, one commit."""
        await self._client.enqueue(self._job(number))

    async def dispatch_many(self, numbers: Sequence[int]) -> None:
        """One statement for all."""
        await self._client.enqueue_many([self._job(number) for number in numbers])

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Its producer and what belongs to it, until the block ends."""
        async with importlib.import_module("oban").Oban(pool=self._pool, queues={"default": SLOTS}):
            yield

    async def unfinished(self) -> int:
        """Jobs in any state but completed."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("select count(*) from oban_jobs where state <> 'completed'")
            return int((await cursor.fetchone())[0])

    def _job(self, number: int) -> Any:
        return self._worker.new({"number": number, "text": text_for(number)})


@asynccontextmanager
async def oban(url: str, counter: Callable[[int], None]) -> AsyncIterator[ObanPeer]:
    """Install it in the database."""
    library: Any = importlib.import_module("oban")
    schema: Any = importlib.import_module("oban.schema")

    class Work:
        async def process(self, job: Any) -> None:
            counter(job.args["number"])

    pool = await library.Oban.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    try:
        await schema.install(pool)
        yield ObanPeer(pool, library.worker(queue="default")(Work))
    finally:
        await pool.close()
