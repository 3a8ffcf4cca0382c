"""Settler: writes what became of jobs, many in one transaction; keeps it in memory while the store is away.

``worker`` hands it each outcome. It never waits for company: what is finished when it looks is written together, and
what finishes while it writes goes with the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from goose_queues.errors import StoreUnavailable
from goose_queues.handle import Completions
from goose_queues.heartbeat import Heartbeat
from goose_queues.patience import until_answered
from goose_queues.pausing import reached
from goose_queues.record import ClaimedJob, Doomed, Outcome, Released, Retry, Settlement, Snoozed
from goose_queues.redact import one_line
from goose_queues.store import Store

log = logging.getLogger("goose_queues.settler")

TOGETHER: Final = 1_000
"""Outcomes at most that one transaction writes."""


class Settler:
    """The outcomes of one process on their way into the store; belongs to the event loop.

    Args:
        store: Where they go.
        heartbeat: Told which leases are no longer needed.
        completions: Told which jobs have been settled.
        wake: Told which queues have got jobs back, or room under their limit.
        limited: The queues of which the fleet runs only so many jobs at once: each outcome makes room for a claim.
    """

    def __init__(
        self,
        store: Store,
        heartbeat: Heartbeat,
        completions: Completions,
        wake: Callable[[frozenset[str]], None],
        limited: frozenset[str] = frozenset(),
    ) -> None:
        self._store = store
        self._heartbeat = heartbeat
        self._completions = completions
        self._wake = wake
        self._limited = limited
        self._waiting: list[Settlement] = []
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether something has not been written yet."""
        return self._writing is not None

    @property
    def backlog(self) -> int:
        """How many outcomes wait for their turn."""
        return len(self._waiting)

    def add(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        """Write this outcome soon."""
        if self._closed:
            return
        self._waiting.append(Settlement(claimed, outcome))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all(), name="goose-settler")

    async def flush(self, limit: float) -> None:
        """Wait until everything has been written, for at most ``limit`` seconds."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=limit)

    async def close(self) -> None:
        """Give up what has not been written, and take nothing more: the leases run out."""
        self._closed = True
        unwritten = len(self._waiting)
        self._waiting.clear()
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
            log.error("the outcomes of jobs could not be written; they will run again", extra={"waiting": unwritten})

    async def _write_all(self) -> None:
        try:
            # One turn of the loop later the claim for the freed slots is made: both share a commit.
            await asyncio.sleep(0)
            while self._waiting:
                together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                await self._write(together)
        finally:
            self._writing = None

    async def _write(self, settlements: Sequence[Settlement]) -> None:
        reached("settle.sent")
        try:
            lost = await self._settled(settlements)
        except Exception:
            if len(settlements) > 1:
                # One that cannot be written must not keep the others from it.
                middle = len(settlements) // 2
                await self._write(settlements[:middle])
                await self._write(settlements[middle:])
                return
            job_id = settlements[0].claimed.id
            shown = one_line(job_id)
            log.exception("the outcome of job %s could not be written", shown, extra={"job_id": shown})
            lost = frozenset((job_id,))
        reached("settle.committed")
        self._written(settlements, lost)

    async def _settled(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        def complain(error: StoreUnavailable) -> None:
            log.warning("outcomes are kept until the store answers: %s", error, extra={"waiting": len(settlements)})

        return await until_answered(lambda: self._store.settle(settlements), complain)

    def _written(self, settlements: Sequence[Settlement], lost: frozenset[str]) -> None:
        let_go = self._heartbeat.let_go
        for settlement in settlements:
            let_go(settlement.claimed)
        self._completions.settled(one.claimed.id for one in settlements if one.claimed.id not in lost)
        for shown in map(one_line, lost):
            log.warning("the lease of job %s was lost: its outcome is dropped", shown, extra={"job_id": shown})
        back = {
            one.claimed.queue
            for one in settlements
            if isinstance(one.outcome, Retry | Snoozed | Doomed | Released) or one.claimed.queue in self._limited
        }
        if back:
            self._wake(frozenset(back))
