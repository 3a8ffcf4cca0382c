"""The interface by example, for the type checkers: ``make lint`` runs mypy --strict and pyright over this file.

Nothing here is run. ``assert_type`` holds what a checker must infer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Protocol, assert_type

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

import goose
from goose import (
    ApiPlatform,
    Context,
    Controller,
    HttpError,
    Instance,
    Kernel,
    Module,
    Named,
    api,
    declare,
    get,
    post,
    worker,
)
from goose.testing import AppTestClient
from goose_queues import (
    BatchHandle,
    BatchProgress,
    ChainHandle,
    Client,
    Job,
    JobContext,
    JobHandle,
    JobListing,
    JobMiddleware,
    JobRecord,
    JobStatus,
    Next,
    PendingBatch,
    PendingChain,
    Progress,
    QueuesModule,
    QueueStats,
    exponential,
)
from goose_queues.record import Status
from goose_queues.testing import DrainReport, FakeQueue, drain
from goose_sql import Database, SqlModule


class Mailer(Protocol):
    async def send(self, to: str, subject: str, body: str = "") -> None: ...


class SmtpMailer:
    async def send(self, to: str, subject: str, body: str = "") -> None: ...


class ValidationError(Exception): ...


class FailedMail:
    async def store(self, job: Job, error: Exception) -> None: ...


class Metrics: ...


@dataclass
class LoggingMiddleware(JobMiddleware):
    metrics: Metrics

    async def handle(self, ctx: JobContext, next: Next) -> object:
        return await next()


class SendEmail(
    Job,
    queue="emails",
    timeout=timedelta(minutes=5),
    max_retries=3,
    retry_delay=timedelta(seconds=30),
    priority=10,
    name="send-email",
    aliases=("SendMail",),
    middleware=(LoggingMiddleware,),
):
    to: str
    subject: str
    body: str = ""

    async def handle(self, ctx: JobContext) -> None:
        mailer = ctx.get(Mailer)
        assert_type(mailer, Mailer)
        assert_type(ctx.get("audit_log"), Any)
        await mailer.send(self.to, self.subject, self.body)

    def should_retry(self, error: Exception) -> bool:
        return not isinstance(error, ValidationError)

    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        await ctx.get(FailedMail).store(self, error)


class ProcessOrder(Job, retry_delay=exponential(1, cap=300, jitter=0.1)):
    order_id: str

    async def handle(self, ctx: JobContext, mailer: Mailer) -> str:
        await mailer.send("a", "b")
        await ctx.progress(1, 2, "sent")
        await ctx.progress(0.5)
        await ctx.heartbeat()
        return self.order_id

    def retry_after(self, attempt: int, error: Exception) -> timedelta | None:
        return timedelta(seconds=attempt)


class DrawInvoice(Job):
    def handle(self, ctx: JobContext) -> bytes:
        return b""


class BatchComplete(Job):
    batch_id: str

    async def handle(self, ctx: JobContext) -> None:
        progress = await ctx.client.get_batch(self.batch_id)
        assert_type(progress.completed, int)


class SignedIn:
    async def check(self, ctx: Context) -> None:
        raise HttpError(401)


@dataclass
class CreateOrder:
    item: str


@dataclass
class Order:
    id: str


@dataclass
class OrderService:
    session: AsyncSession

    async def create(self, data: CreateOrder) -> Order:
        return Order(data.item)


@dataclass
class OrderController(Controller, prefix="/orders"):
    queue: Client
    orders: OrderService
    replica: Annotated[Database, Named("replica")]

    @post("/")
    async def create(self, ctx: Context) -> Response:
        dto = await ctx.bind(CreateOrder)
        assert_type(dto, CreateOrder)
        order = await self.orders.create(dto)
        handle = await self.queue.dispatch(ProcessOrder(order_id=order.id))
        assert_type(handle, JobHandle)
        return ctx.status(201).json(order)

    @get("/{id}", guards=(SignedIn,))
    async def show(self, ctx: Context) -> Order:
        return Order(ctx.param("id"))

    @get("/{id}/invoice")
    def invoice(self, ctx: Context) -> bytes:
        return b""


async def replica() -> AsyncIterator[Database]:
    yield Database("sqlite://")


class SharedModule(Module):
    declarations = (declare(Mailer, SmtpMailer), declare(Database, factory=replica, name="replica"))
    exports = (Mailer, Annotated[Database, Named("replica")])


class OrdersModule(Module):
    imports = (SharedModule, SqlModule(url="sqlite:///app.db"))
    declarations = (
        OrderController,
        declare(OrderService, lifetime="scoped"),
        declare(Metrics, value=Metrics()),
        FailedMail,
        SendEmail,
        ProcessOrder,
        DrawInvoice,
        BatchComplete,
    )
    exports = (OrderService,)


queues_module = QueuesModule(
    driver="sql",
    url="sqlite:///app.db",
    queue="default",
    default_retry_limit=3,
    default_retry_delay=timedelta(seconds=1),
    default_timeout=timedelta(minutes=5),
    listen_url=None,
    poll_interval=timedelta(seconds=5),
    cleanup_interval=timedelta(hours=1),
    retention_period=timedelta(days=7),
    stale_job_timeout=timedelta(seconds=30),
    enable_stale_job_recovery=True,
    queues=("default", "emails", "exports"),
    workers={"default": 2, "emails": 4, "exports": 1},
    limits={"exports": 1},
    shutdown_timeout=timedelta(seconds=30),
    middleware=(LoggingMiddleware,),
    max_payload_size=256 * 1024,
    auto_migrate=None,
    synchronous="full",
)

app = api(ApiPlatform(host="127.0.0.1", port=8080, name="orders", version="1.0.0"), OrdersModule, [queues_module])
assert_type(app, Instance)


async def dispatching(queue: Client, session: AsyncSession) -> None:
    job = SendEmail(to="a", subject="b")
    await queue.dispatch(job).delay(timedelta(minutes=5))
    await queue.dispatch(job).at(datetime(2027, 1, 1, 9, tzinfo=UTC))
    await queue.dispatch(job).on_queue("bulk").priority(1).retries(5).timeout(60)
    await queue.dispatch(job).using(None)
    await queue.dispatch(job).using(session)
    await queue.dispatch(job).meta(tenant="acme")
    assert_type(queue.dispatch(job).send(), JobHandle)
    assert_type(await queue.dispatch_many(SendEmail(to=a, subject="s") for a in "abc"), list[JobHandle])
    assert_type(await queue.get_status("id"), JobStatus)
    assert_type(await queue.get_record("id"), JobRecord)
    assert_type((await queue.stats())["emails"], QueueStats)


async def chaining(queue: Client, session: AsyncSession) -> None:
    first, second = ProcessOrder(order_id="o"), SendEmail(to="a", subject="b")
    pending = queue.chain(first, second, queue.batch([second])).on_queue("orders").delay(5).using(session)
    assert_type(pending, PendingChain)
    chain = await pending.dispatch()
    assert_type(chain, ChainHandle)
    assert_type(chain.id, str)
    assert_type(chain.ids, tuple[str, ...])
    assert_type(chain.links, tuple[JobHandle | BatchHandle, ...])
    assert_type(queue.chain(first).priority(3).send(), ChainHandle)


async def batching(queue: Client, recipients: list[str]) -> None:
    batch = queue.batch(SendEmail(to=a, subject="s") for a in recipients).on_queue("emails")
    batch.then(BatchComplete(batch_id=batch.id))
    batch.catch(BatchComplete(batch_id=batch.id)).finally_(BatchComplete(batch_id=batch.id))
    assert_type(batch, PendingBatch)
    assert_type(batch.id, str)
    handle = await batch.dispatch()
    assert_type(handle, BatchHandle)
    assert_type(handle.jobs, tuple[JobHandle, ...])
    assert_type(await handle.progress(), BatchProgress)
    assert_type(await queue.get_batch(batch.id), BatchProgress)
    mixed = queue.batch([SendEmail(to="a", subject="s"), queue.chain(ProcessOrder(order_id="o"))])
    assert_type(mixed.at(datetime(2027, 1, 1, 9, tzinfo=UTC)).send(), BatchHandle)


async def steering(queue: Client, job_id: str) -> None:
    await queue.retry(job_id)
    await queue.cancel(job_id)
    await queue.cancel(job_id, "no longer wanted")
    await queue.pause("emails")
    await queue.resume("emails")
    assert_type(await queue.purge("emails"), int)
    listing = queue.jobs(queue="emails", status="failed", limit=100)
    assert_type(listing, JobListing)
    async for job in listing:
        assert_type(job, JobStatus)
        assert_type(job.status, Status)
        assert_type(job.progress, Progress | None)
    assert_type(listing.cursor, str | None)
    async for job in queue.jobs(chain="id", batch="id", name="send-email", cursor=listing.cursor):
        assert_type(job.chain_id, str | None)


async def running() -> None:
    fake = FakeQueue()
    async with goose.running(app, overrides={Client: fake}) as kernel:
        assert_type(kernel, Kernel)
        assert_type(kernel.get(OrderService), OrderService)
        assert_type(kernel.get(Mailer), Mailer)
        assert_type(await drain(kernel), DrainReport)
    fake.assert_dispatched(ProcessOrder, times=1, where=lambda job: job.order_id)


def in_process() -> None:
    with AppTestClient(app) as http:
        assert http.post("/orders", json={"item": "egg"}).status_code == 201


def whole_process() -> None:
    goose.start(app, worker(OrdersModule, [queues_module]))
