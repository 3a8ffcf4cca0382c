"""Sends one mail; a failure of the network is tried again, an address that cannot be right is not."""

from datetime import timedelta

from app.mailer import Mailer
from app.orders.service import OrderService
from goose_queues import Job, JobContext


class SendEmail(Job, queue="emails", max_retries=3, retry_delay=timedelta(seconds=1), priority=10):
    to: str
    subject: str

    async def handle(self, ctx: JobContext, mailer: Mailer) -> None:
        await mailer.send(self.to, self.subject)

    def should_retry(self, error: Exception, /) -> bool:
        return not isinstance(error, ValueError)

    async def on_failure(self, ctx: JobContext, error: Exception, /) -> None:
        await ctx.get(OrderService).keep_failed_mail(self.to, str(error))
