"""The application that the fault tests run in processes of its own: ``python application.py api PORT`` or ``worker``."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import String
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

import goose
from faults import planted, wrong_clock
from goose import ApiPlatform, Context, Controller, Instance, Module, api, get, post, worker
from goose_queues import Client, Job, JobContext, QueuesModule
from goose_queues.config import Settings
from goose_queues.supervisor import Supervisor
from goose_sql import Database, SqlModule
from ledger import AHEAD, Ledger
from servers.shared import driver_of
from waiting import wait_until

LEASE = 5.0
RETRY_DELAY = 0.3


class Base(MappedAsDataclass, DeclarativeBase): ...


class Payment(Base):
    __tablename__ = "payments"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)


class Refused(Exception):
    """The handler fails after it has written and dispatched."""


class Step(Job, queue="steps", retry_delay=RETRY_DELAY):
    """Takes a little while, and says when it began and how it ended."""

    seconds: float = 0.02
    gate: str = ""
    """A path: attempt n waits until there is a file of this name with ``.n`` behind it."""
    failing: tuple[int, ...] = ()
    """Attempts that fail."""

    async def handle(self, ctx: JobContext, book: Ledger) -> None:
        with book.attempt(ctx):
            await asyncio.sleep(self.seconds)
            if self.gate:
                await wait_until(Path(f"{self.gate}.{ctx.attempt}").exists, deadline=600)
            if ctx.attempt in self.failing:
                raise Refused


class Limited(Step, queue="limited"):
    """One of those of which the fleet runs only a few at once, where it is told so."""


class Odd(Step, queue="odd"):
    """One whose queue is on another node of a cluster of three, as are those of steps and limited ones."""


class Seed(Job, queue="seeds"):
    """Dispatches steps from inside of its process, each at a time of its own; then waits like a step."""

    delays: tuple[float, ...]
    gate: str = ""
    by_delay: bool = False
    """Say how long each is to wait, instead of until when by this process's clock."""

    async def handle(self, ctx: JobContext, book: Ledger) -> None:
        with book.attempt(ctx):
            for delay in self.delays if ctx.attempt == 1 else ():
                due, now = datetime.now(UTC) + timedelta(seconds=delay), book.now()
                pending = ctx.client.dispatch(Step())
                handle = await (pending.delay(delay) if self.by_delay else pending.at(due))
                book.write("dispatched", handle.id, note=now + delay if self.by_delay else due.timestamp())
            if self.gate:
                await wait_until(Path(f"{self.gate}.{ctx.attempt}").exists, deadline=600)


class CheckPayment(Job, queue="payments"):
    """Looks whether the payment that it was dispatched with is there."""

    payment_id: str

    async def handle(self, ctx: JobContext, book: Ledger, session: AsyncSession) -> None:
        found = await session.get(Payment, self.payment_id)
        book.write("end", self.payment_id, ctx.attempt, note=found is not None)


@dataclass
class Announcer:
    """Says under which identity this process holds its leases, before it claims anything."""

    supervisor: Supervisor
    book: Ledger

    def on_boot(self) -> None:
        self.book.write("up", self.supervisor.identity)


@dataclass
class FaultController(Controller):
    queue: Client
    session: AsyncSession
    database: Database

    @post("/steps/{count:int}")
    async def steps(self, ctx: Context) -> list[str]:
        # Of different lengths, so that they do not all end in one moment.
        unit = float(ctx.query("seconds", "0.02"))
        jobs = (Step(seconds=unit * (0.5 + 0.2 * (number % 6))) for number in range(int(ctx.param("count"))))
        return [handle.id for handle in await self.queue.dispatch_many(jobs)]

    @post("/joined/{id}")
    async def joined(self, ctx: Context) -> None:
        self.session.add(Payment(id=ctx.param("id")))
        await self.session.flush()
        await self.queue.dispatch(CheckPayment(payment_id=ctx.param("id")))
        if ctx.query("fail", ""):
            raise Refused

    @post("/using/{id}")
    async def using(self, ctx: Context) -> None:
        async with self.database.session() as session, session.begin():
            await self.queue.dispatch(CheckPayment(payment_id=ctx.param("id"))).using(session)
            session.add(Payment(id=ctx.param("id")))
            await session.flush()
            if ctx.query("fail", ""):
                raise Refused

    @get("/stats")
    async def stats(self, ctx: Context) -> dict[str, Any]:
        return {
            name: [s.pending, s.processing, s.completed, s.failed] for name, s in (await self.queue.stats()).items()
        }


class FaultModule(Module):
    def __init__(self, url: str, book: Ledger) -> None:
        # Where the jobs are on Redis, the application has a database beside them.
        own = url if driver_of(url) == "sql" else f"sqlite:///{book.path.with_name('payments.db')}"
        self.imports = (SqlModule(url=own, auto_migrate=True),)
        self.declarations = (
            FaultController,
            Announcer,
            Step,
            Limited,
            Odd,
            Seed,
            CheckPayment,
            goose.declare(Ledger, value=book),
        )
        self.metadata = Base.metadata


def application(kind: str, url: str, ledger: Path, port: int = 0, *, lease: float = LEASE) -> Instance:
    module = FaultModule(url, Ledger(ledger))
    queues = QueuesModule(url=url, stale_job_timeout=lease, auto_migrate=True)
    if kind == "worker":
        return worker(module, [queues])
    return api(ApiPlatform(port=port, errors={Refused: 409}), module, [queues])


async def work_on_a_short_lease(lease: float, *place: Any) -> None:
    """A worker whose lease is shorter than what an application may ask for; it ends with a kill."""
    (settings,) = (each.settings for each in application("worker", *place).modules if isinstance(each, QueuesModule))
    short: Settings = settings.model_copy(update={"stale_job_timeout": lease})
    async with goose.running(application("worker", *place), background=True, overrides={Settings: short}):
        await asyncio.Event().wait()


def main(*arguments: str) -> None:
    """The whole process: ``api`` and a port, or ``worker``; the rest is in the environment."""
    here = os.environ["DATABASE_URL"], Path(os.environ["LEDGER"])
    planted.plant(os.environ.get("PLANTED", ""))
    wrong_clock.set_wrong(float(os.environ.get(AHEAD, "0")))
    if "SHORT_LEASE" in os.environ:
        asyncio.run(work_on_a_short_lease(float(os.environ["SHORT_LEASE"]), *here))
    lease = float(os.environ.get("LEASE", LEASE))
    goose.start(application(arguments[0], *here, *map(int, arguments[1:]), lease=lease))


if __name__ == "__main__":
    main(*sys.argv[1:])
