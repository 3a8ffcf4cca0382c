"""The application of the tests of isolated jobs: what child processes import, as ``isolated_app:app``.

It is made anew for each test, and in each child, from the environment.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import goose
from goose import Instance, Module, Scope
from goose_queues import Job, JobContext, JobMiddleware, Next, QueuesModule
from waiting import wait_until

FOLDER = "ISOLATED_FOLDER"
"""The environment's variable for where a test keeps its store and its notes."""
BROKEN = "ISOLATED_BROKEN"
"""Set: the application cannot be imported."""


WITHOUT = "ISOLATED_WITHOUT"
"""The name of a job that the application lacks."""


class Notes:
    """Lines that processes leave for the test, by topic."""

    def __init__(self) -> None:
        self.folder = Path(os.environ[FOLDER])

    def add(self, topic: str, line: object) -> None:
        with (self.folder / topic).open("a") as file:
            file.write(f"{line}\n")

    def read(self, topic: str) -> list[str]:
        file = self.folder / topic
        return file.read_text().splitlines() if file.exists() else []


@dataclass
class Unit:
    """A unit of work: notes how its scope ended."""

    notes: Notes
    scope: Scope

    def __post_init__(self) -> None:
        self.scope.on_exit(self.end)

    async def end(self, error: BaseException | None) -> None:
        self.notes.add("unit", "commit" if error is None else "rollback")
        if self.notes.read("commit slowly"):
            await wait_until(lambda: bool(self.notes.read("go on")))


@dataclass
class Around(JobMiddleware):
    notes: Notes

    async def handle(self, ctx: JobContext, next: Next) -> object:
        self.notes.add("middleware", os.getpid())
        return await next()


class Isolated(Job, isolation="process", max_retries=0, retry_delay=0.1):
    """What the jobs below share."""

    async def handle(self, ctx: JobContext, notes: Notes) -> Any: ...

    async def on_failure(self, ctx: JobContext, error: Exception, /) -> None:
        ctx.get(Notes).add("on_failure", f"{os.getpid()} {type(error).__name__}: {error}")


class Report(Isolated, middleware=(Around,)):
    """Says where it runs, and with what; pickled it cannot be."""

    title: str = ""
    after: str = ""
    """A topic that it waits for."""

    async def handle(self, ctx: JobContext, notes: Notes, unit: Unit) -> dict[str, Any]:
        if self.after:
            await wait_until(lambda: bool(notes.read(self.after)))
        assert ctx.get(Notes) is notes
        assert ctx.get("unit") is unit
        return {"title": self.title, "pid": os.getpid(), "attempt": ctx.attempt, "meta": ctx.meta}

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


class InThread(Isolated):
    def handle(self, ctx: JobContext, notes: Notes) -> int:
        assert threading.current_thread() is not threading.main_thread()
        return os.getpid()


class Chatty(Isolated):
    """Prints what would be messages, if anybody listened there."""

    async def handle(self, ctx: JobContext, notes: Notes) -> str:
        os.write(1, b"\x00\x00\xff\xff" * 1000)
        print("{}", flush=True)
        ctx.log.info("so much to say")
        return sys.stdin.read() or "x" * 200_000


class Dispatches(Isolated):
    async def handle(self, ctx: JobContext, notes: Notes) -> str:
        return (await ctx.client.dispatch(Report(title="dispatched"))).id


class Outside(Job):
    async def handle(self, ctx: JobContext, notes: Notes) -> int:
        return os.getpid()


class Waits(Isolated):
    """Runs until it is stopped; then it cleans up."""

    async def handle(self, ctx: JobContext, notes: Notes) -> None:
        notes.add("running", os.getpid())
        try:
            await asyncio.Event().wait()
        finally:
            notes.add("cleaned", os.getpid())


class Blocks(Isolated):
    """Holds up the event loop, and does not end by itself.

    With ``hogs`` it holds up the whole interpreter: no other thread of it runs.
    """

    forks: bool = False
    hogs: bool = False

    async def handle(self, ctx: JobContext, notes: Notes) -> None:
        if self.forks:
            fork(notes)
        notes.add("running", os.getpid())
        if self.hogs:
            re.match("(a+)+$", "a" * 64 + "b")
        block()


class Dies(Isolated):
    """Ends its process, in one of its methods."""

    by: int = 0
    """A signal; 0: ``os._exit(3)``."""
    within: Literal["handle", "should_retry", "on_failure"] = "handle"
    attempts: int = 100
    """How many of its attempts do so."""
    forks: bool = False

    async def handle(self, ctx: JobContext, notes: Notes) -> int:
        notes.add("running", os.getpid())
        if ctx.attempt > self.attempts:
            return os.getpid()
        if self.forks:
            fork(notes)
        if self.within == "on_failure":
            raise ValueError("first")
        self.die()
        return 0

    def should_retry(self, error: Exception, /) -> bool:
        Notes().add("should_retry", f"{os.getpid()} {type(error).__name__}: {error}")
        if self.within == "should_retry":
            self.die()
        return True

    async def on_failure(self, ctx: JobContext, error: Exception, /) -> None:
        await super().on_failure(ctx, error)
        if self.within == "on_failure":
            self.die()

    def die(self) -> None:
        if self.by:
            signal.raise_signal(signal.Signals(self.by))
        os._exit(3)


def fork(notes: Notes) -> None:
    """Leave a process of the handler's own, which has open what this one has."""
    if os.fork() == 0:
        notes.add("forked", os.getpid())
        block()


def block() -> None:
    time.sleep(600)


JOBS = (Report, InThread, Chatty, Dispatches, Outside, Waits, Blocks, Dies)


class Reports(Module):
    def __init__(self) -> None:
        jobs = [job for job in JOBS if job.__name__ != os.environ.get(WITHOUT)]
        self.declarations = (Notes, goose.declare(Unit, lifetime="scoped"), *jobs)


def application(**options: Any) -> Instance:
    if BROKEN in os.environ:
        raise OSError("on fire")
    url = f"sqlite:///{os.environ[FOLDER]}/queue.db"
    return goose.worker(Reports(), [QueuesModule(**{"url": url, "poll_interval": 0.05, **options})])


if FOLDER in os.environ:
    app = application()

if __name__ == "__main__":
    goose.start(app)
