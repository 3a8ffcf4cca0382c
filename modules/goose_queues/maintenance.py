"""Maintenance: gives back the jobs of workers that have died, ends those that were cancelled, deletes old finished ones.

Run by ``supervisor`` in every process that does background work; the store fences each change, so it does not matter
how many do.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from goose_queues.config import Settings
from goose_queues.errors import StoreUnavailable
from goose_queues.record import CancelRequest
from goose_queues.store import Store

log = logging.getLogger("goose_queues.maintenance")

RESCUE_INTERVAL: Final = 1.0
"""Seconds between two looks for expired leases: with it a dead worker's jobs run elsewhere within the lease + 2 s."""
CANCEL_INTERVAL: Final = 0.5
"""Seconds between two looks for running jobs that somebody has cancelled."""
RESCUED: Final = 500
"""Jobs at most that one transaction gives back."""
MAX_DEATHS: Final = 3
"""Workers that may die over one job; then it has failed."""
PRUNED: Final = 500
"""Jobs at most that one transaction looks at and deletes."""
PAUSE: Final = 0.05
"""Seconds between two such transactions, which belong to the claims."""


class Maintenance:
    """What keeps the store in order.

    Args:
        store: Where.
        settings: How often, and what is old.
        wake: Told which queues have got jobs back.
        cancel: Told which running jobs are to end, those of other processes too.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        wake: Callable[[frozenset[str]], None],
        cancel: Callable[[Sequence[CancelRequest]], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._wake = wake
        self._cancel = cancel

    async def run(self) -> None:
        """Do all of it at intervals, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._settings.enable_stale_job_recovery:
                group.create_task(self._rescue_on(), name="goose-rescue")
            group.create_task(self._prune_on(), name="goose-prune")
            group.create_task(self._cancel_on(), name="goose-cancel")

    async def rescue(self) -> int:
        """Give back what has an expired lease now; how many jobs."""
        total = 0
        while True:
            rescued = await self._store.rescue(RESCUED, MAX_DEATHS)
            found = rescued.returned + rescued.failed + rescued.cancelled
            total += found
            if found:
                log.warning(
                    "workers have died: %d jobs given back, %d failed for good, %d cancelled",
                    rescued.returned,
                    rescued.failed,
                    rescued.cancelled,
                )
                self._wake(rescued.queues)
            if found < RESCUED:
                return total

    async def prune(self) -> int:
        """Delete what finished longer ago than the retention period; how many jobs."""
        total, cursor = 0, None
        while True:
            pruned = await self._store.prune(self._settings.retention_period, PRUNED, cursor)
            total, cursor = total + pruned.deleted, pruned.cursor
            if cursor is None:
                return total
            await asyncio.sleep(PAUSE)

    async def _cancel_on(self) -> None:
        while True:
            try:
                self._cancel(await self._store.cancel_requests())
            except StoreUnavailable as error:
                log.warning("cancelled jobs could not be looked for: %s", error)
            await asyncio.sleep(CANCEL_INTERVAL * random.uniform(0.8, 1.0))  # noqa: S311

    async def _rescue_on(self) -> None:
        interval = min(RESCUE_INTERVAL, self._settings.stale_job_timeout / 4)
        while True:
            try:
                await self.rescue()
            except StoreUnavailable as error:
                log.warning("expired leases could not be looked for: %s", error)
            await asyncio.sleep(interval * random.uniform(0.8, 1.0))  # noqa: S311 - jitter, not a secret

    async def _prune_on(self) -> None:
        while True:
            try:
                deleted = await self.prune()
            except StoreUnavailable as error:
                log.warning("old jobs could not be deleted: %s", error)
            else:
                log.debug("old jobs deleted", extra={"deleted": deleted})
            await asyncio.sleep(self._settings.cleanup_interval * random.uniform(0.9, 1.1))  # noqa: S311
