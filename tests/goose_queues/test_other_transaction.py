"""What the client does in a unit of work whose data is elsewhere than the queue: in another file, or the queue on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

import goose
from goose import Kernel, Module
from goose_queues import Client, Job, JobContext, JobNotFound, QueuesModule
from goose_queues.errors import ForeignSession
from goose_queues.testing import drain
from goose_sql import Database, SqlModule
from servers.shared import room

REASON = r"the session is on sqlite\S*/data.db and the queue on \S+: one transaction cannot hold both. Dispatch without"


class Other(Job, queue="others"):
    async def handle(self, ctx: JobContext) -> None: ...


class Writes(Job, max_retries=0):
    """Writes, and dispatches in the same unit of work."""

    breaks: bool

    async def handle(self, ctx: JobContext, session: AsyncSession) -> None:
        await session.execute(text("INSERT INTO numbers VALUES (1)"))
        await ctx.client.dispatch(Other())
        assert (await ctx.client.stats())["others"].pending == 0
        if self.breaks:
            raise ValueError("no")


@pytest.fixture(params=["sqlite", "redis"])
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/queue.db"
    there = room("redis")
    there.empty()
    return there.url.render_as_string(hide_password=False)


@pytest.fixture
async def kernel(tmp_path: Path, queue_url: str) -> AsyncIterator[Kernel]:
    class App(Module):
        imports = (SqlModule(url=f"sqlite:///{tmp_path}/data.db"),)
        declarations = (Writes, Other)

    async with goose.running(goose.worker(App, [QueuesModule(url=queue_url)])) as kernel:
        async with kernel.get(Database).transaction() as connection:
            await connection.exec_driver_sql("CREATE TABLE numbers (number)")
        yield kernel


def one(client: Client) -> Any:
    return client.dispatch(Other())


def chain(client: Client) -> Any:
    return client.chain(Other(), Other()).dispatch()


def batch(client: Client) -> Any:
    return client.batch([Other(), Other()]).dispatch()


async def pending(kernel: Kernel) -> int:
    """Jobs that are ready."""
    return (await kernel.get(Client).stats())["others"].pending


@pytest.mark.parametrize("sentence", [one, chain, batch])
async def test_it_is_sent_after_the_commit(kernel: Kernel, sentence: Callable[[Client], Any]) -> None:
    """Nobody finds it before, and whoever leaves the unit of work finds it stored."""
    async with kernel.get(Database).session() as session, session.begin():
        await session.execute(text("INSERT INTO numbers VALUES (1)"))
        await sentence(kernel.get(Client))
        assert await pending(kernel) == 0
    assert await pending(kernel) == (2 if sentence is batch else 1)


@pytest.mark.parametrize("sentence", [one, chain, batch])
async def test_it_is_dropped_on_rollback(kernel: Kernel, sentence: Callable[[Client], Any]) -> None:
    async with kernel.get(Database).session() as session:
        await session.execute(text("INSERT INTO numbers VALUES (1)"))
        await sentence(kernel.get(Client))
        await session.rollback()
    assert await pending(kernel) == 0


@pytest.mark.parametrize("breaks", [False, True])
async def test_in_a_job(kernel: Kernel, breaks: bool) -> None:
    """What an attempt dispatches goes with its session."""
    await kernel.get(Client).dispatch(Writes(breaks=breaks))
    report = await drain(kernel)
    assert (report.completed, report.failed) == ((0, 1) if breaks else (2, 0))


async def test_a_handle_of_what_was_dropped(kernel: Kernel) -> None:
    """It leads nowhere, as there has never been such a job."""
    async with kernel.get(Database).session() as session:
        await session.execute(text("INSERT INTO numbers VALUES (1)"))
        handle = await kernel.get(Client).dispatch(Other())
        await session.rollback()
    with pytest.raises(JobNotFound):
        await handle.status()


async def test_using_a_session_of_async_code(kernel: Kernel) -> None:
    """Refused at once, with the reason, and nothing is stored."""
    database = kernel.get(Database)
    async with database.session() as session, database.transaction() as connection:
        for subject in (session, connection):
            with pytest.raises(ForeignSession, match=REASON):
                kernel.get(Client).dispatch(Other()).using(subject)
    assert await pending(kernel) == 0


async def test_using_a_session_of_blocking_code(kernel: Kernel, tmp_path: Path) -> None:
    """The same."""
    engine = create_engine(f"sqlite:///{tmp_path}/data.db")
    with Session(engine) as session, engine.connect() as connection:
        for subject in (session, connection):
            with pytest.raises(ForeignSession, match=REASON):
                kernel.get(Client).dispatch(Other()).using(subject)
    engine.dispose()
    assert await pending(kernel) == 0


async def test_using_nothing(kernel: Kernel) -> None:
    """using(None) stores it at once, and the rollback does not undo it."""
    async with kernel.get(Database).session() as session:
        await session.execute(text("INSERT INTO numbers VALUES (1)"))
        await kernel.get(Client).dispatch(Other()).using(None)
        assert await pending(kernel) == 1
        await session.rollback()
    assert await pending(kernel) == 1
