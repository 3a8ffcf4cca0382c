"""Load: jobs, chains and batches that are dispatched without a pause, whatever becomes of the store meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from checker import History
from faults.application import Step
from fleet import Fleet, Process
from goose_queues import BatchHandle, ChainHandle, Client, StoreUnavailable
from waiting import wait_until

LINKS: Final = 3
MEMBERS: Final = 6
DISPATCHERS: Final = 3


class Load:
    """What was dispatched and acknowledged.

    Args:
        fleet: Whose ledger remembers it.
        queue: In the test's own process.
        kinds: Of the jobs, in turn.
    """

    def __init__(self, fleet: Fleet, queue: Client, kinds: Sequence[type[Step]] = (Step,)) -> None:
        self._fleet = fleet
        self._queue = queue
        self._kinds = itertools.cycle(kinds)
        self._chance = Random(4)
        self.chains: Final[list[ChainHandle]] = []
        self.batches: Final[list[BatchHandle]] = []
        self.alone: Final[dict[str, type[Step]]] = {}
        """Those that are neither in a chain nor in a batch."""
        self.acknowledged = 0
        self.refused = 0

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Within the block there is always something new."""
        dispatching = [asyncio.ensure_future(self._go_on()) for _ in range(DISPATCHERS)]
        try:
            yield
            assert not [each for each in dispatching if each.done()], [each.exception() for each in dispatching]
        finally:
            for each in dispatching:
                each.cancel()
            await asyncio.wait(dispatching)

    def history(self) -> History:
        """Everything that happened, once it is over."""
        stored = self._fleet.hand.jobs()
        batches = [self._fleet.callbacks(each.id, each.ids, "then", "finally", stored=stored) for each in self.batches]
        return self._fleet.history(chains=[each.ids for each in self.chains], batches=batches)

    async def _go_on(self) -> None:
        for number in itertools.count():
            try:
                ids = await self._dispatch(number)
            except StoreUnavailable:
                self.refused += 1
            else:
                for job in ids:
                    self._fleet.ledger.write("dispatched", job)
                self.acknowledged += len(ids)
            await asyncio.sleep(0.03)

    async def _dispatch(self, number: int) -> list[str]:
        match number % 8:
            case 3:
                chain = await self._queue.chain(*(self._step() for _ in range(LINKS))).dispatch()
                self.chains.append(chain)
                return list(chain.ids)
            case 7:
                pending = self._queue.batch(self._step() for _ in range(MEMBERS))
                batch = await pending.then(self._step()).finally_(self._step()).dispatch()
                self.batches.append(batch)
                return list(batch.ids)
            case _:
                step = self._step()
                handle = await self._queue.dispatch(step)
                self.alone[handle.id] = type(step)
                return [handle.id]

    def _step(self) -> Step:
        return next(self._kinds)(seconds=self._chance.uniform(0.01, 0.1))


async def at_work(fleet: Fleet, workers: Sequence[Process], load: Load, deadline: float = 10) -> None:
    """Return when from now on every worker has begun a job, and a dispatch was acknowledged."""
    at, before = time.time(), load.acknowledged

    def is_so() -> bool:
        begun = {entry.pid for entry in fleet.ledger.read() if entry.event == "start" and entry.at > at}
        return begun >= {worker.pid for worker in workers} and load.acknowledged > before

    await wait_until(is_so, deadline=deadline)


def doubles(history: History) -> dict[str, int]:
    """Jobs that have run more than once."""
    runs: dict[str, int] = {}
    for entry in history.entries:
        if entry.event == "start":
            runs[entry.job] = runs.get(entry.job, 0) + 1
    return {job: number for job, number in runs.items() if number > 1}
