"""What user code asks of the queue while its own transaction holds the write lock of the queue's file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

import goose
from goose import Kernel, Module
from goose_queues import Client, Job, JobContext, JobNotFound, Progress, QueuesModule
from goose_queues.record import Claim
from goose_queues.supervisor import Supervisor
from goose_queues.testing import drain
from goose_sql import Database, SqlModule


@dataclass
class Diary:
    statuses: list[str] = field(default_factory=list)


class Other(Job):
    async def handle(self, ctx: JobContext) -> None: ...


class Writes(Job, max_retries=0):
    """Writes, then steers the queue and tells of itself, all in one transaction."""

    other: str
    breaks: bool = False

    async def handle(self, ctx: JobContext, session: AsyncSession) -> None:
        await session.execute(text("INSERT INTO numbers VALUES (1)"))
        await ctx.progress(1, 2)
        await ctx.heartbeat()
        await ctx.client.cancel(self.other)
        await ctx.client.retry(self.other)
        await ctx.client.pause("emails")
        await ctx.client.pause("bulk")
        await ctx.client.resume("bulk")
        assert await ctx.client.purge("default") == 1
        with pytest.raises(JobNotFound):
            await ctx.client.cancel(self.other)
        if self.breaks:
            raise ValueError("no")


@pytest.fixture
async def kernel(url: str) -> AsyncIterator[Kernel]:
    class App(Module):
        imports = (SqlModule(url=url, busy_timeout=1),)
        declarations = (Writes, Other, Diary)

    async with goose.running(goose.worker(App, [QueuesModule()])) as kernel:
        async with kernel.get(Database).transaction() as connection:
            await connection.exec_driver_sql("CREATE TABLE numbers (number)")
        yield kernel


@pytest.mark.parametrize("breaks", [False, True])
async def test_it_is_a_part_of_that_transaction(kernel: Kernel, breaks: bool) -> None:
    """It neither waits for the lock that its own task holds, nor stays where that transaction is rolled back."""
    client = kernel.get(Client)
    other = await client.dispatch(Other()).delay(timedelta(hours=1))
    handle = await client.dispatch(Writes(other=other.id, breaks=breaks)).priority(5)
    report = await drain(kernel)
    status = await handle.status()
    stats = await client.stats()
    if breaks:
        assert (report.failed, status.progress) == (1, None)
        assert (await other.status()).status == "pending"
        assert not stats["emails"].paused
    else:
        assert (report.completed, status.progress) == (1, Progress(1, 2, ""))
        with pytest.raises(JobNotFound):
            await other.status()
        assert stats["emails"].paused
    assert not stats["bulk"].paused


async def test_workers_hear_of_it_with_the_commit(kernel: Kernel) -> None:
    """A hint that came before the commit would let them find nothing."""
    client, supervisor = kernel.get(Client), kernel.get(Supervisor)
    heard: list[frozenset[str]] = []
    job = await client.dispatch(Other())
    await client.cancel(job.id)
    async with kernel.get(Database).session() as session, session.begin():
        await session.execute(text("INSERT INTO numbers VALUES (1)"))
        supervisor.store.subscribe(heard.append)
        await client.retry(job.id)
        assert heard == []
    assert heard[0] == {"default"}
    claimed = await supervisor.store.claim(Claim("default", frozenset({"Other"}), 1, 30.0, "w"))
    assert [one.id for one in claimed.jobs] == [job.id]
