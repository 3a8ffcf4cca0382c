"""What a case is: one bad input, where it is put in, and what has to come of it."""

from __future__ import annotations

import inspect
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pytest
from sqlalchemy import make_url

import goose
from goose import Kernel, Module
from goose_queues import Client, JobStatus, QueuesModule
from goose_queues.supervisor import Supervisor
from hand import Found, Hand
from servers.shared import connect, driver_of
from waiting import wait_until

Show: TypeAlias = Callable[["Bench"], Awaitable[None]]
Place: TypeAlias = Literal["sqlite", "server", "redis"]
EVERYWHERE: Final[frozenset[Place]] = frozenset({"sqlite", "server", "redis"})
ON_DATABASES: Final[frozenset[Place]] = frozenset({"sqlite", "server"})
ON_REDIS: Final[frozenset[Place]] = frozenset({"redis"})


@dataclass
class Bench:
    """A running application with a queue and workers, and a hand that edits what it has stored."""

    kernel: Kernel
    url: str
    folder: Path
    """Where other applications have their files."""
    hand: Hand
    log: pytest.LogCaptureFixture = field(init=False)
    patch: pytest.MonkeyPatch = field(init=False)

    @property
    def queue(self) -> Client:
        return self.kernel.get(Client)

    @property
    def supervisor(self) -> Supervisor:
        return self.kernel.get(Supervisor)

    def sql(self, statement: str, *values: Any) -> None:
        """Run SQL on the queue's database, past the queue, with ``%s`` for each value."""
        if not self.is_server:
            with closing(sqlite3.connect(make_url(self.url).database or "", timeout=30)) as connection, connection:
                connection.execute(statement.replace("%s", "?"), values)
            return
        with closing(connect(make_url(self.url))) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)

    @property
    def place(self) -> Place:
        """What the queue is on."""
        return "redis" if driver_of(self.url) == "redis" else "server" if self.is_server else "sqlite"

    @property
    def is_server(self) -> bool:
        """Whether the queue is on a server, whose columns take values of their own type only."""
        return not self.url.startswith("sqlite:")

    def found(self, job_id: str) -> Found:
        """A job as it is stored."""
        return next(job for job in self.hand.jobs() if job.id == job_id)

    async def ended(self, job_id: str) -> JobStatus:
        """The status of a job once it has finished."""

        async def over() -> bool:
            return (await self.queue.get_status(job_id)).finished_at is not None

        await wait_until(over)
        return await self.queue.get_status(job_id)

    def boots(self, *declared: Any, **options: Any) -> AbstractAsyncContextManager[Kernel]:
        """Another application, with tables of its own."""

        class OtherModule(Module):
            declarations = declared

        @asynccontextmanager
        async def run() -> Any:
            own = {"table_prefix": "other_", "auto_migrate": True} if self.is_server and "url" not in options else {}
            url = self.url if self.is_server else f"sqlite:///{self.folder}/other.db"
            app = goose.worker(OtherModule, [QueuesModule(**{"url": url, **own, **options})])
            async with goose.running(app) as kernel:
                yield kernel

        return run()


@dataclass(frozen=True)
class Case:
    """One way to be wrong.

    Args:
        row: Of the table of bad inputs.
        what: The input, in a word or two.
        show: Does it, and checks what comes of it.
        stores: How many jobs are stored thereby: none, where it is refused.
        places: Where there is such an input.
    """

    row: int
    what: str
    show: Show
    stores: int = 0
    places: frozenset[Place] = EVERYWHERE

    @property
    def id(self) -> str:
        return f"row-{self.row:02}-{self.what}"


def refused(row: int, what: str, attempt: Callable[[Bench], Any], error: type[Exception], *facts: str) -> Case:
    """It raises this error, which names these facts; nothing is stored."""

    async def show(bench: Bench) -> None:
        with pytest.raises(error) as caught:
            done = attempt(bench)
            if inspect.isawaitable(done):
                await done
        text = str(caught.value)
        assert [fact for fact in facts if fact not in text] == [], text

    return Case(row, what, show)


def refused_at_boot(
    row: int, what: str, declared: tuple[Any, ...], error: type[Exception], *facts: str, **options: Any
) -> Case:
    """An application with these declarations and options of its queue does not boot, and says why in one line."""

    async def boot(bench: Bench) -> None:
        try:
            async with bench.boots(*declared, **options):
                raise AssertionError("it boots")
        except Exception as refusal:
            assert "\n" not in str(refusal)
            raise

    return refused(row, what, boot, error, *facts)


def accepted(row: int, what: str, show: Show, stores: int = 1, *, places: frozenset[Place] = EVERYWHERE) -> Case:
    """It is no fault, or one that is met later; what then happens is the case's own affair."""
    return Case(row, what, show, stores, places)


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run something in a plain thread of its own, away from every event loop."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await wait_until(lambda: not thread.is_alive())
    if errors:
        raise errors[0]
    return results[0]
