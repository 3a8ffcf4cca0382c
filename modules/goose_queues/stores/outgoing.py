"""Dispatches that wait for the commit of a transaction on another database, and are sent right after it.

``store`` owns one of these. What is lost by a crash between that commit and the sending is said in the guide.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from goose_queues.record import NewBatch, NewJob
from goose_sql import Unit

log = logging.getLogger("goose_queues.store")


class Outgoing:
    """Sends jobs after somebody else's commit.

    Args:
        insert: The store's own: ``insert(jobs, batches=...)``.
    """

    def __init__(self, insert: Callable[..., Awaitable[None]]) -> None:
        self._insert = insert
        self._sending: set[asyncio.Task[None]] = set()

    def after_commit_of(self, unit: Unit, jobs: Sequence[NewJob], batches: Sequence[NewBatch]) -> None:
        """Send these when the unit's transaction is committed; drop them when it is rolled back.

        Where the unit belongs to a request, an attempt or a block, that ends only when they are stored.
        """
        loop = asyncio.get_running_loop()
        unit.after_commit(lambda: self._send_on(loop, unit, jobs, batches))

    async def sent(self) -> None:
        """Wait until everything is stored that is on its way."""
        if self._sending:
            await asyncio.wait(self._sending)

    def _send_on(
        self, loop: asyncio.AbstractEventLoop, unit: Unit, jobs: Sequence[NewJob], batches: Sequence[NewBatch]
    ) -> None:
        """In whatever thread the commit was."""
        if _running_loop() is loop:
            unit.follow(self._send_now(jobs, batches))
            return
        try:
            loop.call_soon_threadsafe(self._send_now, jobs, batches)
        except RuntimeError as error:
            _lost(jobs, error)

    def _send_now(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._send(jobs, batches))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    async def _send(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch]) -> None:
        try:
            await self._insert(jobs, batches=batches)
        except Exception as error:  # noqa: BLE001 - nobody awaits this: the log has it
            _lost(jobs, error)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _lost(jobs: Sequence[NewJob], error: Exception) -> None:
    log.error(
        "Jobs are lost: the transaction that dispatched them was committed, but they could not be stored after it",
        exc_info=error,
        extra={"jobs": [job.id for job in jobs], "names": sorted({job.name for job in jobs})},
    )
