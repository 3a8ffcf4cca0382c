"""Fifty requests at once that read, then write, then dispatch, on one SQLite file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx2
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

import goose
from goose import ApiPlatform, Context, Controller, Module, api, post
from goose_queues import Client, Job, JobContext, QueuesModule
from goose_queues.testing import drain
from goose_sql import Database, SqlModule


class Base(MappedAsDataclass, DeclarativeBase): ...


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    item: Mapped[str]
    worked_on: Mapped[int] = mapped_column(default=0)


class WorkOnOrder(Job):
    order_id: int

    async def handle(self, ctx: JobContext, session: AsyncSession) -> None:
        order = await session.get_one(Order, self.order_id)
        order.worked_on += 1


@dataclass
class OrderController(Controller, prefix="/orders"):
    session: AsyncSession
    queue: Client

    @post("/{item}")
    async def create(self, ctx: Context) -> dict[str, int]:
        before = await self.session.scalar(select(func.count()).select_from(Order))
        order = Order(item=ctx.param("item"))
        self.session.add(order)
        await self.session.flush()
        await self.queue.dispatch(WorkOnOrder(order_id=order.id))
        if order.item.endswith("7"):
            raise ValueError("rolled back, with its job")
        return {"before": before or 0}


class OrdersModule(Module):
    declarations = (OrderController, WorkOnOrder)
    metadata = Base.metadata

    def __init__(self, url: str) -> None:
        self.imports = (SqlModule(url=url),)


async def test_read_then_write_then_dispatch(tmp_path: Path) -> None:
    """None of them meets a locked database; what is committed is worked on once, and nothing else is."""
    app = api(ApiPlatform(errors={ValueError: 409}), OrdersModule(f"sqlite:///{tmp_path / 'app.db'}"), [QueuesModule()])
    async with goose.running(app) as kernel:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://app", timeout=60) as http:
            answers = await asyncio.gather(*(http.post(f"/orders/egg-{n}") for n in range(200)))
        assert {answer.status_code for answer in answers} == {200, 409}
        report = await drain(kernel)
        async with kernel.get(Database).session() as session:
            worked_on = list(await session.scalars(select(Order.worked_on)))
    assert worked_on == [1] * 180
    assert (report.completed, report.failed) == (180, 0)
