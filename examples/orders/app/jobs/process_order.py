"""Confirms an order and has its customer told."""

from app.jobs.send_email import SendEmail
from app.orders.service import OrderService
from goose_queues import Job, JobContext


class ProcessOrder(Job, queue="orders", timeout=30):
    order_id: str

    async def handle(self, ctx: JobContext) -> str:
        orders = ctx.get(OrderService)
        order = await orders.confirm(self.order_id)
        await ctx.client.dispatch(SendEmail(to=order.email, subject=f"Your order of {order.quantity} x {order.item}"))
        return order.status
