"""The seed document's examples as one application, run in a process of its own: ``python seed_app.py api PORT``."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parents[1]))

import goose
from goose import ApiPlatform, Context, Controller, Module, api, declare, get, post, worker
from goose_queues import Client, Job, JobContext, QueuesModule
from ledger import Ledger
from waiting import wait_until


class NetworkError(Exception): ...


class InvalidCall(Exception): ...


@dataclass
class OrderService:
    book: Ledger

    async def process(self, order_id: str, ctx: JobContext) -> None:
        self.book.write("end", ctx.job_id, ctx.attempt, note=f"order {order_id}")


class Noted(Job):
    """Writes into the ledger that it ran."""

    note: str = ""

    async def handle(self, ctx: JobContext, book: Ledger) -> str:
        book.write("end", ctx.job_id, ctx.attempt, note=self.note)
        return self.note


class SendEmailJob(Noted, queue="emails"):
    to: str = "ada@example.com"
    subject: str = "hi"
    body: str = ""


class ProcessOrderJob(Job, queue="orders", timeout=timedelta(minutes=5)):
    order_id: str

    async def handle(self, ctx: JobContext) -> None:
        await ctx.get("order_service").process(self.order_id, ctx)


class ProcessPaymentJob(Job, max_retries=3, retry_delay=timedelta(milliseconds=200)):
    failing: int

    async def handle(self, ctx: JobContext, book: Ledger) -> None:
        book.write("start", ctx.job_id, ctx.attempt)
        if ctx.attempt <= self.failing:
            raise NetworkError(f"attempt {ctx.attempt}")

    async def on_failure(self, ctx: JobContext, error: Exception, /) -> None:
        ctx.get(Ledger).write("end", ctx.job_id, ctx.attempt, note=f"gave up: {error}")


class DefaultsJob(Job):
    async def handle(self, ctx: JobContext, book: Ledger) -> None:
        book.write("start", ctx.job_id, ctx.attempt)
        raise NetworkError("always")


class APICallJob(Job, max_retries=3, retry_delay=timedelta(milliseconds=100)):
    valid: bool

    async def handle(self, ctx: JobContext, book: Ledger) -> None:
        book.write("start", ctx.job_id, ctx.attempt)
        raise NetworkError if self.valid else InvalidCall

    def should_retry(self, error: Exception, /) -> bool:
        return not isinstance(error, InvalidCall)


class ExportDataJob(Job, timeout=0.2, max_retries=0):
    async def handle(self, ctx: JobContext) -> None:
        await asyncio.Event().wait()


class ExportInThreadJob(Job, timeout=0.2, max_retries=0):
    def handle(self, ctx: JobContext) -> None:
        for _ in itertools.count():
            pass


class BlockerJob(Job, queue="notifications"):
    async def handle(self, ctx: JobContext, book: Ledger) -> None:
        await wait_until(book.path.with_name("gate").exists)


class RegularNotificationJob(Noted, queue="notifications", priority=1): ...


class UrgentNotificationJob(Noted, queue="notifications", priority=10): ...


class NobodyDeclaresMe(Job):
    async def handle(self, ctx: JobContext) -> None: ...


class CreateOrder(BaseModel):
    item: str


@dataclass
class SeedController(Controller):
    queue: Client

    @post("/orders")
    async def create_order(self, ctx: Context) -> Any:
        dto = await ctx.bind(CreateOrder)
        handle = await self.queue.dispatch(ProcessOrderJob(order_id=dto.item))
        return ctx.status(201).json({"job_id": handle.id})

    @post("/emails")
    async def email(self, ctx: Context) -> str:
        return (await self.queue.dispatch(SendEmailJob(note="email")).on_queue(ctx.query("queue", "emails"))).id

    @post("/reminders")
    async def reminder(self, ctx: Context) -> str:
        delay = timedelta(seconds=float(ctx.query("delay", "0")))
        return (await self.queue.dispatch(SendEmailJob(note="reminder")).delay(delay)).id

    @post("/reports")
    async def report(self, ctx: Context) -> dict[str, Any]:
        due = datetime.now(UTC) + timedelta(seconds=float(ctx.query("delay", "0")))
        handle = await self.queue.dispatch(SendEmailJob(note="report")).at(due)
        return {"id": handle.id, "due": due.timestamp()}

    @post("/payments/{failing:int}")
    async def payment(self, ctx: Context) -> str:
        return (await self.queue.dispatch(ProcessPaymentJob(failing=int(ctx.param("failing"))))).id

    @post("/defaults")
    async def defaults(self, ctx: Context) -> str:
        return (await self.queue.dispatch(DefaultsJob())).id

    @post("/calls/{kind}")
    async def call(self, ctx: Context) -> str:
        return (await self.queue.dispatch(APICallJob(valid=ctx.param("kind") == "valid"))).id

    @post("/exports/{kind}")
    async def export(self, ctx: Context) -> str:
        job = ExportInThreadJob() if ctx.param("kind") == "thread" else ExportDataJob()
        return (await self.queue.dispatch(job)).id

    @post("/notifications")
    def notifications(self, ctx: Context) -> list[str]:
        """Plain def: the sentences end with send()."""
        jobs: list[Job] = [
            BlockerJob(),
            *(RegularNotificationJob(note=f"regular {n}") for n in range(3)),
            *(UrgentNotificationJob(note=f"urgent {n}") for n in range(3)),
        ]
        return [self.queue.dispatch(job).send().id for job in jobs]

    @post("/undeclared")
    async def undeclared(self, ctx: Context) -> str:
        return (await self.queue.dispatch(NobodyDeclaresMe())).id

    @get("/jobs/{id}")
    async def status(self, ctx: Context) -> dict[str, Any]:
        status = await self.queue.get_status(ctx.param("id"))
        return {
            "id": status.id,
            "status": status.status,
            "attempts": status.attempts,
            "created_at": status.created_at,
            "started_at": status.started_at,
            "finished_at": status.finished_at,
            "queue": status.queue,
            "error": status.error,
            "result": status.result,
        }

    @get("/queues")
    async def stats(self, ctx: Context) -> dict[str, Any]:
        stats = await self.queue.stats()
        return {
            name: {state: getattr(stats[name], state) for state in ("pending", "processing", "completed", "failed")}
            for name in ("default", "emails", "orders", "notifications", "bulk")
        }


class SeedModule(Module):
    declarations = (
        SeedController,
        OrderService,
        declare(Ledger, value=Ledger(Path(os.environ["LEDGER"]))),
        SendEmailJob,
        ProcessOrderJob,
        ProcessPaymentJob,
        DefaultsJob,
        APICallJob,
        ExportDataJob,
        ExportInThreadJob,
        BlockerJob,
        RegularNotificationJob,
        UrgentNotificationJob,
    )


if __name__ == "__main__":
    queues_module = QueuesModule(
        url=os.environ["DATABASE_URL"],
        queue="default",
        poll_interval=timedelta(seconds=5),
        workers={"default": 4, "emails": 4, "orders": 2, "notifications": 1},
    )
    if sys.argv[1] == "worker":
        goose.start(worker(SeedModule, [queues_module]))
    else:
        goose.start(api(ApiPlatform(port=int(sys.argv[2])), SeedModule, [queues_module]))
