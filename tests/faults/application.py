"""The application that the fault tests run in processes of its own: ``python application.py api PORT`` or ``worker``."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

import goose
from goose import ApiPlatform, Context, Controller, Instance, Module, api, get, post, worker
from goose_queues import Client, Job, JobContext, QueuesModule
from goose_sql import Database, SqlModule
from ledger import Ledger

LEASE = 5.0


class Base(MappedAsDataclass, DeclarativeBase): ...


class Payment(Base):
    __tablename__ = "payments"

    id: Mapped[str] = mapped_column(primary_key=True)


def ledger() -> Ledger:
    return Ledger(Path(os.environ["LEDGER"]))


class Step(Job, queue="steps"):
    """Takes a little while, and says when it began and when it ended."""

    seconds: float = 0.02

    async def handle(self, ctx: JobContext, book: Ledger) -> None:
        with book.attempt(ctx):
            await asyncio.sleep(self.seconds)


class CheckPayment(Job, queue="payments"):
    """Looks whether the payment that it was dispatched with is there."""

    payment_id: str

    async def handle(self, ctx: JobContext, book: Ledger, session: AsyncSession) -> None:
        found = await session.get(Payment, self.payment_id)
        book.write("end", self.payment_id, ctx.attempt, note=found is not None)


class Refused(Exception):
    """The handler fails after it has written and dispatched."""


@dataclass
class FaultController(Controller):
    queue: Client
    session: AsyncSession
    database: Database

    @post("/steps/{count:int}")
    async def steps(self, ctx: Context) -> list[str]:
        # Of different lengths, so that they do not all end in one moment.
        jobs = (Step(seconds=0.01 + 0.004 * (number % 6)) for number in range(int(ctx.param("count"))))
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
    def __init__(self) -> None:
        self.imports = (SqlModule(url=os.environ["DATABASE_URL"]),)
        self.declarations = (FaultController, Step, CheckPayment, goose.declare(Ledger, value=ledger()))
        self.metadata = Base.metadata


def application(kind: str, port: int) -> Instance:
    queues = QueuesModule(stale_job_timeout=LEASE)
    if kind == "worker":
        return worker(FaultModule(), [queues])
    return api(ApiPlatform(port=port, errors={Refused: 409}), FaultModule(), [queues])


if __name__ == "__main__":
    goose.start(application(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
