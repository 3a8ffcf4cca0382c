"""Orders over HTTP."""

from dataclasses import dataclass

from starlette.responses import Response

from app.jobs.process_order import ProcessOrder
from app.orders.models import CreateOrder, Order
from app.orders.service import OrderService
from goose import Context, Controller, get, post
from goose_queues import Client


@dataclass
class OrderController(Controller, prefix="/orders"):
    queue: Client
    orders: OrderService

    @post("/")
    async def create(self, ctx: Context) -> Response:
        order = await self.orders.create(await ctx.bind(CreateOrder))
        handle = await self.queue.dispatch(ProcessOrder(order_id=order.id))  # only if the order is committed
        return ctx.status(201).json({"order": order, "job_id": handle.id})

    @get("/{id}")
    async def show(self, ctx: Context) -> Order:
        return await self.orders.find(ctx.param("id"))
