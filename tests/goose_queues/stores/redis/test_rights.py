"""The rights that the guide names are enough for everything that the queue does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import goose
from goose import Instance, Module
from goose_queues import Client, Job, JobContext, QueuesModule
from goose_queues.supervisor import Supervisor
from servers.private_redis import PrivateRedis

PAGE = Path(__file__).parents[4] / "docs" / "redis.md"


class First(Job, queue="one"):
    async def handle(self, ctx: JobContext) -> str:
        await ctx.progress(1, 2)
        await ctx.heartbeat()
        return "done"


class Second(Job, queue="two", max_retries=1, retry_delay=0):
    async def handle(self, ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("once more")


class Breaks(Job, queue="two", max_retries=0):
    async def handle(self, ctx: JobContext) -> None:
        raise ValueError("no")


class AppModule(Module):
    declarations = (First, Second, Breaks)


@pytest.fixture
def app() -> Iterator[Instance]:
    found = re.search(r"^ACL SETUSER \S+ on \S+ (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert found
    with PrivateRedis() as server:
        server.ask("ACL", "SETUSER", "shop", "on", ">secret", *found[1].split())
        url = f"redis://shop:secret@127.0.0.1:{server.port}/1"
        yield goose.worker(AppModule, [QueuesModule(url=url)])


async def test_everything_is_allowed(app: Instance, caplog: pytest.LogCaptureFixture) -> None:
    """Dispatches, chains and batches over queues, runs, steering, listing, pruning; and the worker can listen."""
    async with goose.running(app, background=True) as kernel:
        queue = kernel.get(Client)
        assert await (await queue.dispatch(First())).result(timeout=30) == "done"
        await queue.chain(First(), Second()).dispatch()
        batch = queue.batch([First(), Second(), Breaks()])
        batch.finally_(Second())
        await batch.dispatch()
        later = await queue.dispatch(First()).delay(timedelta(hours=1))
        await queue.cancel(later.id)
        await queue.retry(later.id)
        await queue.dispatch(First()).delay(timedelta(milliseconds=10))
        await queue.pause("one")
        await queue.purge("one")
        await queue.resume("one")
        assert [job async for job in queue.jobs(queue="one")]
        await (await queue.dispatch(Second())).result(timeout=30)
        store = kernel.get(Supervisor).store
        await store.check()
        await store.rescue(100, 3)
        await store.prune(0, 1000)
        assert not [job async for job in queue.jobs(status="completed", queue="one", limit=1)]
    assert [record.getMessage() for record in caplog.records if record.name == "goose_queues.wakeup"] == []
