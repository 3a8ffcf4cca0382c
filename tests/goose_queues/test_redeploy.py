"""Old and new code on one store: renamed jobs, changed payloads, names that are gone."""

from __future__ import annotations

from typing import Any

from goose_queues import Client, Job, JobContext
from goose_queues.testing import drain
from queue_apps import Boot


def send_mail(**options: Any) -> type[Job]:
    class SendMail(Job, **options):
        to: str

        async def handle(self, ctx: JobContext) -> str:
            return f"to {self.to}"

    return SendMail


async def test_a_renamed_job_keeps_its_rows_by_an_alias(boot: Boot) -> None:
    async with boot(old := send_mail()) as kernel:
        handle = await kernel.get(Client).dispatch(old(to="ada"))
    async with boot(send_mail(name="send-email", aliases=("SendMail",))) as kernel:
        report = await drain(kernel)
        assert report.completed == 1
        assert (await kernel.get(Client).get_status(handle.id)).result == "to ada"


async def test_without_an_alias_they_wait_and_say_so(boot: Boot) -> None:
    async with boot(old := send_mail()) as kernel:
        handle = await kernel.get(Client).dispatch(old(to="ada"))
    async with boot(send_mail(name="send-email")) as kernel:
        report = await drain(kernel)
        assert report.completed == 0
        status = await kernel.get(Client).get_status(handle.id)
        assert (status.status, status.attempts) == ("pending", 0)


async def test_a_payload_that_does_not_fit_any_more_is_kept_and_can_be_retried_after_the_fix(boot: Boot) -> None:
    class SendMail(Job):
        to: int

        async def handle(self, ctx: JobContext) -> None:
            raise AssertionError("not to be entered")

    async with boot(old := send_mail()) as kernel:
        handle = await kernel.get(Client).dispatch(old(to="ada"))
    async with boot(SendMail) as kernel:
        report = await drain(kernel)
        assert report.failed == 1
        status = await kernel.get(Client).get_status(handle.id)
        assert status.status == "failed"
        assert status.error is not None
        assert status.error.startswith("PayloadMismatch: the stored payload no longer fits SendMail: $.to: ")
    async with boot(send_mail()) as kernel:
        queue = kernel.get(Client)
        await queue.retry(handle.id)
        await drain(kernel)
        status = await queue.get_status(handle.id)
        assert (status.status, status.result, status.attempts) == ("completed", "to ada", 2)


async def test_a_field_that_new_code_has_added_or_dropped(boot: Boot) -> None:
    class SendMail(Job):
        to: str
        subject: str = "none"

        async def handle(self, ctx: JobContext) -> str:
            return f"{self.subject} to {self.to}"

    async with boot(old := send_mail()) as kernel:
        first = await kernel.get(Client).dispatch(old(to="ada"))
    async with boot(SendMail) as kernel:
        second = await kernel.get(Client).dispatch(SendMail(to="bob", subject="hi"))
        await drain(kernel)
        third = await kernel.get(Client).dispatch(SendMail(to="eve", subject="hi"))
        queue = kernel.get(Client)
        results = [(await queue.get_status(handle.id)).result for handle in (first, second)]
        assert results == ["none to ada", "hi to bob"]
    async with boot(send_mail()) as kernel:
        await drain(kernel)
        assert (await kernel.get(Client).get_status(third.id)).result == "to eve"
