"""What a running job tells of itself: how far it is, and that it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anyio.from_thread
import pytest

from goose_queues import Client, Job, JobContext, LeaseLost, Progress
from goose_queues.testing import drain
from goose_sql import Database
from queue_apps import Boot
from waiting import wait_until


@dataclass
class Diary:
    lines: list[Any] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)


class Count(Job):
    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        await ctx.progress(1, 4, "one\nof four")
        diary.reached.set()
        await diary.gate.wait()
        await ctx.progress(4, 4)


class CountInThread(Job):
    def handle(self, ctx: JobContext) -> None:
        anyio.from_thread.run(ctx.progress, 0.5, 2)
        anyio.from_thread.run(ctx.heartbeat)


class Wrong(Job):
    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        for done, total in ((-1, None), (float("nan"), None), (1, float("inf")), ("1", None), (True, None)):
            try:
                await ctx.progress(done, total)  # type: ignore[arg-type]
            except (TypeError, ValueError) as error:
                diary.lines.append(str(error))


class Robbed(Job, max_retries=0):
    """Goes on after somebody has taken its lease."""

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        await ctx.heartbeat()
        diary.reached.set()
        await diary.gate.wait()
        for tell in (ctx.heartbeat, lambda: ctx.progress(1)):
            try:
                await tell()
            except LeaseLost as error:
                diary.lines.append((error.job_id, str(error)))


class RobbedInThread(Job, max_retries=0):
    def handle(self, ctx: JobContext, diary: Diary) -> None:
        anyio.from_thread.run_sync(diary.reached.set)
        anyio.from_thread.run(diary.gate.wait)
        for tell in (ctx.heartbeat, lambda: ctx.progress(1)):
            try:
                anyio.from_thread.run(tell)
            except LeaseLost as error:
                diary.lines.append((error.job_id, str(error)))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        yield database


class TestProgress:
    async def test_seen_while_it_runs(self, boot: Boot) -> None:
        """Whoever asks sees the latest that the handler told, as soon as it was told, and still at the end."""
        async with boot(Count, Diary) as web, boot(Count, Diary, background=True) as worker:
            handle = await web.get(Client).dispatch(Count())
            assert (await handle.status()).progress is None
            diary = worker.get(Diary)
            await diary.reached.wait()
            assert (await handle.status()).progress == Progress(1, 4, "one\\x0aof four")
            diary.gate.set()
            await handle.result(timeout=30)
            assert (await handle.status()).progress == Progress(4, 4, "")

    async def test_in_a_thread(self, boot: Boot) -> None:
        """A thread job tells through anyio."""
        async with boot(CountInThread) as kernel:
            handle = await kernel.get(Client).dispatch(CountInThread())
            assert (await drain(kernel)).completed == 1
            assert (await handle.status()).progress == Progress(0.5, 2, "")

    async def test_numbers(self, boot: Boot) -> None:
        """What is no amount is refused in the line that tells it."""
        async with boot(Wrong, Diary) as kernel:
            handle = await kernel.get(Client).dispatch(Wrong())
            assert (await drain(kernel)).completed == 1
            assert kernel.get(Diary).lines == [
                "progress(done=) must be finite and not negative, not -1",
                "progress(done=) must be finite and not negative, not nan",
                "progress(total=) must be finite and not negative, not inf",
                "progress(done=) must be a number, not str",
                "progress(done=) must be a number, not bool",
            ]
            assert (await handle.status()).progress is None


@pytest.mark.parametrize("cls", [Robbed, RobbedInThread])
async def test_a_lost_lease(boot: Boot, database: Database, cls: type[Job]) -> None:
    """An attempt that no longer holds its job hears it from both, and what it tells is not kept."""
    async with boot(cls, Diary) as kernel:
        handle = await kernel.get(Client).dispatch(cls())
        diary = kernel.get(Diary)
        draining = asyncio.create_task(drain(kernel))
        await diary.reached.wait()
        async with database.transaction() as connection:
            await connection.exec_driver_sql("UPDATE goose_jobs SET token = 'another' WHERE id = ?", (handle.id,))
        diary.gate.set()
        await draining
        sentence = f"the lease of job {handle.id} was lost: stop, another worker may be running it"
        assert diary.lines == [(handle.id, sentence)] * 2
        status = await handle.status()
        assert (status.status, status.progress) == ("processing", None)


async def test_a_heartbeat_extends_the_lease(boot: Boot, database: Database) -> None:
    """On return from a heartbeat the lease ends a whole timeout later."""
    # Nobody is to find the lease expired meanwhile.
    options = {"stale_job_timeout": 3600, "enable_stale_job_recovery": False, "background": True}
    async with boot(Robbed, Diary, **options) as kernel:
        handle = await kernel.get(Client).dispatch(Robbed())
        diary = kernel.get(Diary)
        await diary.reached.wait()

        async def lease_end() -> int:
            async with database.transaction() as connection:
                rows = await connection.exec_driver_sql("SELECT lease_until FROM goose_jobs WHERE id = ?", (handle.id,))
                end: int = rows.scalar_one()
                return end

        async with database.transaction() as connection:
            await connection.exec_driver_sql("UPDATE goose_jobs SET lease_until = 1 WHERE id = ?", (handle.id,))
        assert await lease_end() == 1
        diary.gate.set()
        await handle.result(timeout=30)
        assert diary.lines == []
        assert (await handle.status()).progress == Progress(1, None, "")


async def test_waiting_for_the_end_of_a_job_that_tells(boot: Boot) -> None:
    """Telling each step disturbs neither the job nor its neighbours."""
    async with boot(CountInThread, workers=4, background=True) as kernel:
        client = kernel.get(Client)
        await client.dispatch_many([CountInThread() for _ in range(20)])

        async def all_done() -> bool:
            return (await client.stats())["default"].completed == 20

        await wait_until(all_done)
