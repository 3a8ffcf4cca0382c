"""Orders: the controller, the service, and the jobs that work on them."""

from app.jobs.process_order import ProcessOrder
from app.jobs.send_email import SendEmail
from app.mailer import LogMailer, Mailer
from app.orders.controller import OrderController
from app.orders.models import Base
from app.orders.service import OrderService
from goose import Module, declare


class OrdersModule(Module):
    declarations = (
        OrderController,
        declare(OrderService, lifetime="scoped"),
        declare(Mailer, LogMailer),
        ProcessOrder,
        SendEmail,
    )
    exports = (Mailer, OrderService)
    metadata = Base.metadata
