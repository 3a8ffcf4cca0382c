"""What can be done with orders."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.orders.models import CreateOrder, FailedMail, Order


class OrderNotFound(Exception):
    """There is no order of this id."""


@dataclass
class OrderService:
    """Works through the session of the request or job: one unit of work, committed when that is done."""

    session: AsyncSession

    async def create(self, data: CreateOrder) -> Order:
        order = Order(item=data.item, quantity=data.quantity, email=data.email)
        self.session.add(order)
        await self.session.flush()
        await self.session.refresh(order)
        return order

    async def find(self, order_id: str) -> Order:
        order = await self.session.get(Order, order_id)
        if order is None:
            raise OrderNotFound(order_id)
        return order

    async def confirm(self, order_id: str) -> Order:
        order = await self.find(order_id)
        order.status = "confirmed"
        return order

    async def keep_failed_mail(self, to: str, reason: str) -> None:
        self.session.add(FailedMail(to=to, reason=reason))
