"""Jobs of dead workers come back, old finished jobs go away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from goose import Kernel
from goose_queues import Client, Clock, Job, JobContext, JobNotFound, StoreUnavailable
from goose_queues.config import Settings
from goose_queues.maintenance import MAX_DEATHS, PRUNED, RESCUED, Maintenance
from goose_queues.record import CancelRequest, Claim, Pruned, Rescued
from goose_queues.store import Store
from goose_queues.supervisor import Supervisor
from goose_queues.testing import FrozenClock, drain
from queue_apps import Boot
from waiting import wait_until


class Work(Job):
    async def handle(self, ctx: JobContext) -> int:
        return ctx.attempt


async def abandon(kernel: Kernel, job_id: str) -> None:
    """Claim a job as a worker that dies right after."""
    supervisor = kernel.get(Supervisor)
    claimed = await supervisor.store.claim(Claim("default", supervisor.registry.names, 1, 30, "a dead one"))
    assert [job.id for job in claimed.jobs] == [job_id]


class Chores:
    """The part of a store that maintenance uses, told what to answer."""

    def __init__(self) -> None:
        self.rescues: list[tuple[int, int]] = []
        self.prunes: list[tuple[float, int, str | None]] = []
        self.rescued: Callable[[], Rescued] = lambda: Rescued(0, 0, frozenset())
        self.pruned: list[Pruned] = []
        self.requests: list[CancelRequest] = []

    async def rescue(self, limit: int, max_deaths: int) -> Rescued:
        self.rescues.append((limit, max_deaths))
        return self.rescued()

    async def prune(self, retention: float, limit: int, cursor: str | None = None) -> Pruned:
        self.prunes.append((retention, limit, cursor))
        return self.pruned.pop(0) if self.pruned else Pruned(0, None)

    async def cancel_requests(self) -> list[CancelRequest]:
        return self.requests


def maintenance_of(chores: Chores, woken: Any = None, **options: Any) -> Maintenance:
    return Maintenance(cast("Store", chores), Settings(**options), woken or (lambda _: None), lambda _: None)


class TestRescue:
    async def test_a_dead_workers_job(self, boot: Boot) -> None:
        """A job whose worker has died runs elsewhere once its lease is over, and not before."""
        clock = FrozenClock()
        async with boot(Work, overrides={Clock: clock}) as kernel:
            handle = await kernel.get(Client).dispatch(Work())
            await abandon(kernel, handle.id)
        async with boot(Work, overrides={Clock: clock}, poll_interval=3600, background=True) as kernel:
            maintenance = kernel.get(Supervisor).maintenance
            clock.move(29.9)
            assert await maintenance.rescue() == 0
            assert (await kernel.get(Client).get_status(handle.id)).status == "processing"
            clock.move(0.2)
            again = kernel.get(Client)

            async def done() -> bool:
                return (await again.get_status(handle.id)).status == "completed"

            await wait_until(done)
            assert (await again.get_status(handle.id)).result == 2

    async def test_switched_off(self, boot: Boot) -> None:
        """Without recovery, this process leaves expired leases to others."""
        chores = Chores()
        maintenance = maintenance_of(chores, enable_stale_job_recovery=False)
        task = await started(maintenance)
        await wait_until(lambda: chores.prunes)
        assert chores.rescues == []
        await ended(task)

    async def test_until_none_is_left(self) -> None:
        """It goes on while there may be more, and wakes the queues that got jobs back."""
        chores, woken = Chores(), list[frozenset[str]]()
        answers = [Rescued(RESCUED - 1, 1, frozenset({"a"})), Rescued(2, 0, frozenset({"b"}))]
        chores.rescued = lambda: answers.pop(0)
        assert await maintenance_of(chores, woken.append).rescue() == RESCUED + 2
        assert chores.rescues == [(RESCUED, MAX_DEATHS)] * 2
        assert woken == [frozenset({"a"}), frozenset({"b"})]

    async def test_a_store_that_is_away(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It carries on when the store does not answer."""
        monkeypatch.setattr("goose_queues.maintenance.RESCUE_INTERVAL", 0.01)
        chores = Chores()

        def away() -> Rescued:
            raise StoreUnavailable("sqlite:///queue.db", "it is away.")

        chores.rescued = away
        task = await started(maintenance_of(chores))
        await wait_until(lambda: len(chores.rescues) > 2)
        await ended(task)
        assert any(message.startswith("expired leases could not be looked for: ") for message in caplog.messages)


class TestPrune:
    async def test_past_retention(self, boot: Boot) -> None:
        """Finished jobs go when they have been kept long enough; waiting ones stay, however old."""
        clock = FrozenClock()
        async with boot(Work, overrides={Clock: clock}, retention_period=3600) as kernel:
            client, maintenance = kernel.get(Client), kernel.get(Supervisor).maintenance
            old = await client.dispatch(Work())
            await drain(kernel)
            clock.move(3599)
            young = await client.dispatch(Work())
            await drain(kernel)
            waiting = await client.dispatch(Work())
            assert await maintenance.prune() == 0
            clock.move(2)
            assert await maintenance.prune() == 1
            assert [await _there(client, handle.id) for handle in (old, young, waiting)] == [False, True, True]

    async def test_in_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It deletes a few at a time, until there are none left."""
        monkeypatch.setattr("goose_queues.maintenance.PAUSE", 0)
        chores = Chores()
        chores.pruned = [Pruned(PRUNED, "b"), Pruned(0, "c"), Pruned(7, None)]
        assert await maintenance_of(chores, retention_period=60).prune() == PRUNED + 7
        assert chores.prunes == [(60, PRUNED, None), (60, PRUNED, "b"), (60, PRUNED, "c")]


async def started(maintenance: Maintenance) -> asyncio.Task[None]:
    return asyncio.create_task(maintenance.run())


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _there(client: Client, job_id: str) -> bool:
    try:
        await client.get_status(job_id)
    except JobNotFound:
        return False
    return True
