"""What running attempts tell the store of themselves: how far they are, and that they live.

Made by ``module`` for the runner, which hands it to each ``JobContext``.
"""

from __future__ import annotations

import asyncio
from functools import partial

from goose_queues.errors import LeaseLost
from goose_queues.record import ClaimedJob
from goose_queues.status import Progress, progress_text
from goose_queues.store import Store


class StoredReports:
    """Reports that go to the store at once.

    Args:
        store: Where the jobs are.
        lease: Seconds that an extension is good for.
        limited: Queues of which the fleet runs only so many jobs at once.
    """

    def __init__(self, store: Store, lease: float, limited: frozenset[str] = frozenset()) -> None:
        self._store = store
        self._lease = lease
        self._limited = limited

    async def progress(self, claimed: ClaimedJob, done: float, total: float | None, note: str) -> None:
        """Keep how far the attempt is.

        Raises:
            LeaseLost: It no longer holds its job.
        """
        if not await self._store.progress(claimed.id, claimed.token, progress_text(Progress(done, total, note))):
            raise LeaseLost(claimed.id)

    async def heartbeat(self, claimed: ClaimedJob) -> None:
        """Extend the attempt's lease now.

        Raises:
            LeaseLost: It no longer holds its job.
        """
        limited = frozenset({claimed.id}) if claimed.queue in self._limited else frozenset()
        extend = partial(self._store.extend, {claimed.id: claimed.token}, self._lease, limited=limited)
        # It blocks, since the heartbeat's own thread calls it elsewhere.
        if await asyncio.to_thread(extend):
            raise LeaseLost(claimed.id)
