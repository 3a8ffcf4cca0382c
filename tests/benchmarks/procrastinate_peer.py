"""Procrastinate, ten jobs at once: it takes each by a statement of its own, and with more at once it is no faster."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from .measure import LIMIT, text_for

SLOTS = 10
CONNECTIONS = 10
"""Of its pool, ready from the start."""


class ProcrastinatePeer:
    """Its task counts; its jobs are stored by ``defer``."""

    def __init__(self, app: Any, task: Any) -> None:
        self._app = app
        self._task = task

    async def dispatch(self, number: int) -> None:
        """One call of its stored function, in autocommit."""
        await self._task.defer_async(number=number, text=text_for(number))

    async def dispatch_many(self, numbers: Sequence[int]) -> None:
        """One call of its stored function for all."""
        await self._task.batch_defer_async(*({"number": number, "text": text_for(number)} for number in numbers))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A worker that is cancelled, which is how it is told to stop, when the block ends."""
        options = {"concurrency": SLOTS, "install_signal_handlers": False}
        worker = asyncio.create_task(self._app.run_worker_async(**options))
        try:
            yield
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(worker, LIMIT)

    async def unfinished(self) -> int:
        """Jobs in any state but succeeded."""
        count = "select count(*) as jobs from procrastinate_jobs where status <> 'succeeded'"
        return int((await self._app.connector.execute_query_one_async(count))["jobs"])


@asynccontextmanager
async def procrastinate(url: str, counter: Callable[[int], None]) -> AsyncIterator[ProcrastinatePeer]:
    """Install it in the database."""
    library: Any = importlib.import_module("procrastinate")
    app = library.App(connector=library.PsycopgConnector(conninfo=url, min_size=CONNECTIONS, max_size=CONNECTIONS))

    async def work(number: int, text: str) -> None:
        counter(number)

    task = app.task(name="work")(work)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        yield ProcrastinatePeer(app, task)
