"""Stopping a process: what runs is finished, what cannot be is given back, nothing new begins."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from goose import Kernel
from goose_queues import Client, Job, JobContext
from goose_queues import supervisor as module
from goose_queues.record import Claim, Claimed
from goose_queues.supervisor import Supervisor
from goose_sql import Database
from queue_apps import Boot
from waiting import wait_until


@dataclass
class Diary:
    lines: list[Any] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0


class Long(Job):
    """Runs until the gate opens."""

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.running += 1
        await diary.gate.wait()
        diary.lines.append(ctx.attempt)


class Parent(Job):
    """Dispatches while the process stops."""

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.running += 1
        await diary.gate.wait()
        await ctx.client.dispatch(Note())


class Note(Job):
    async def handle(self, ctx: JobContext) -> None: ...


class Stuck(Job):
    """A thread that cannot be interrupted."""

    gate: ClassVar[threading.Event] = threading.Event()

    def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.running += 1
        self.gate.wait()


async def status(boot: Boot, job_id: str) -> Any:
    async with boot(Long, Parent, Note, Stuck, Diary) as kernel:
        return await kernel.get(Client).get_status(job_id)


class TestStopping:
    async def test_no_more_claims(self, boot: Boot) -> None:
        """From the stop signal on nothing more is claimed, while what runs goes on."""
        async with boot(Long, Note, Diary, background=True) as kernel:
            client, diary = kernel.get(Client), kernel.get(Diary)
            running = await client.dispatch(Long())
            await wait_until(lambda: diary.running == 1)
            kernel.stop_background()
            await asyncio.sleep(0)
            late = await client.dispatch(Note())
            diary.gate.set()
            await running.result(timeout=30)
            assert (await late.status()).status == "pending"

    async def test_finishes_what_runs(self, boot: Boot) -> None:
        """A shutdown waits for running jobs and writes down what came of them."""
        async with boot(Long, Diary, background=True) as kernel:
            diary = kernel.get(Diary)
            handle = await kernel.get(Client).dispatch(Long())
            await wait_until(lambda: diary.running == 1)
            asyncio.get_running_loop().call_later(0.05, diary.gate.set)
        assert (await status(boot, handle.id)).status == "completed"

    async def test_running_jobs_may_dispatch(self, boot: Boot) -> None:
        """The queue stays open until the last job has ended."""
        async with boot(Parent, Note, Diary, background=True) as kernel:
            diary = kernel.get(Diary)
            handle = await kernel.get(Client).dispatch(Parent())
            await wait_until(lambda: diary.running == 1)
            asyncio.get_running_loop().call_later(0.05, diary.gate.set)
        assert (await status(boot, handle.id)).status == "completed"
        async with boot(Parent, Note, Diary) as kernel:
            assert (await kernel.get(Client).stats())["default"].pending == 1

    async def test_gives_back_the_rest(self, boot: Boot) -> None:
        """What has not ended by then is cancelled and given back, its attempt refunded."""
        async with boot(Long, Diary, shutdown_timeout=0.05, background=True) as kernel:
            diary = kernel.get(Diary)
            handle = await kernel.get(Client).dispatch(Long())
            await wait_until(lambda: diary.running == 1)
        after = await status(boot, handle.id)
        assert (after.status, after.attempts, after.error) == ("pending", 0, None)

    async def test_a_claim_under_way(self, boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
        """Jobs of a claim that was under way when the process was told to stop are given back, unstarted."""
        async with boot(Long, Diary) as kernel:
            handle = await kernel.get(Client).dispatch(Long())
        claims = 0

        async with boot(Long, Diary, background=True) as kernel:
            store, diary = kernel.get(Supervisor).store, kernel.get(Diary)
            claim, asked, go = store.claim, asyncio.Event(), asyncio.Event()

            async def slow(request: Claim) -> Claimed:
                nonlocal claims
                claimed = await claim(request)
                claims += len(claimed.jobs)
                asked.set()
                await go.wait()
                return claimed

            monkeypatch.setattr(store, "claim", slow)
            await asked.wait()
            kernel.stop_background()
            await asyncio.sleep(0)
            go.set()
        assert (claims, diary.running) == (1, 0)
        after = await status(boot, handle.id)
        assert (after.status, after.attempts) == ("pending", 0)

    async def test_a_suspect_that_waits(self, boot: Boot, url: str) -> None:
        """A job that was to run alone and has not begun is given back at once, unstarted."""
        async with boot(Long, Note, Diary, background=True) as kernel, Database(url) as database:
            client, diary = kernel.get(Client), kernel.get(Diary)
            running = await client.dispatch(Long())
            await wait_until(lambda: diary.running == 1)
            suspect = await client.dispatch(Note()).delay(3600)
            async with database.transaction() as connection:
                sql = "UPDATE goose_jobs SET deaths = 2, due_at = 0 WHERE id = ?"
                await connection.exec_driver_sql(sql, (suspect.id,))

            async def claimed() -> bool:
                return (await suspect.status()).status == "processing"

            await wait_until(claimed)
            kernel.stop_background()
            stopping = asyncio.create_task(kernel.get(Supervisor).on_shutdown())

            async def given_back() -> bool:
                return (await suspect.status()).status == "pending"

            await wait_until(given_back)
            assert (await running.status()).status == "processing"
            diary.gate.set()
            await stopping
            assert (await running.status()).status == "completed"
            assert (await suspect.status()).attempts == 0

    async def test_a_thread_that_does_not_end(
        self, boot: Boot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A thread that cannot be ended keeps its job until its lease is over: it is never run beside itself."""
        monkeypatch.setattr(module, "LAST_MOMENTS", 0.5)
        Stuck.gate.clear()
        try:
            async with boot(Stuck, Diary, shutdown_timeout=0.05, background=True) as kernel:
                diary = kernel.get(Diary)
                handle = await kernel.get(Client).dispatch(Stuck())
                await wait_until(lambda: diary.running == 1)
            after = await status(boot, handle.id)
        finally:
            Stuck.gate.set()
        assert after.status == "processing"
        assert "1 jobs did not end: their leases run out, then they run elsewhere" in caplog.messages
        await wait_until(lambda: not any(t.name == "goose-handler" for t in threading.enumerate()))

    async def test_twice(self, boot: Boot) -> None:
        """The same application runs again after it has stopped."""
        for number in range(2):
            async with boot(Note, background=True) as kernel:
                await (await kernel.get(Client).dispatch(Note())).result(timeout=30)
                assert (await kernel.get(Client).stats())["default"].completed == number + 1

    async def test_leaves_nothing_behind(self, boot: Boot) -> None:
        """No task and no thread of the queue outlives the application."""
        async with boot(Note, background=True) as kernel:
            await (await kernel.get(Client).dispatch(Note())).result(timeout=30)
        names = {task.get_name() for task in asyncio.all_tasks()} | {t.name for t in threading.enumerate()}
        assert {name for name in names if "goose" in name} == set()

    async def test_limit_of_its_hook(self, boot: Boot) -> None:
        """The kernel gives the shutdown longer than the jobs are given."""
        async with boot(Note, shutdown_timeout=600) as kernel:
            assert kernel.get(Supervisor).hook_timeout > 600


class TestQueues:
    async def test_served(self, boot: Boot) -> None:
        """Served is what registered jobs and settings name, each with its slots."""

        class Emails(Note, queue="emails"): ...

        async with boot(Note, Emails, workers={"default": 2, "exports": 1}) as kernel:
            assert slots(kernel) == {"default": 2, "emails": 4, "exports": 1}

    async def test_narrowed(self, boot: Boot) -> None:
        """queues= narrows it; a queue with 0 workers is left out."""

        class Emails(Note, queue="emails"): ...

        async with boot(Note, Emails, queues=("emails", "other"), workers={"other": 0}) as kernel:
            assert slots(kernel) == {"emails": 4}


async def test_identity(boot: Boot) -> None:
    """A process has a new identity with each boot."""
    async with boot(Note) as one, boot(Note) as other:
        assert one.get(Supervisor).identity != other.get(Supervisor).identity


async def test_no_background(boot: Boot, caplog: pytest.LogCaptureFixture) -> None:
    """Without background work nothing is claimed, and the end is as quiet."""
    with caplog.at_level(logging.INFO):
        async with boot(Note) as kernel:
            handle = await kernel.get(Client).dispatch(Note())
    async with boot(Note) as kernel:
        assert (await kernel.get(Client).get_status(handle.id)).status == "pending"
    assert [record for record in caplog.records if record.name.startswith("goose_queues")] == []


def slots(kernel: Kernel) -> dict[str, int]:
    return {worker.queue: worker.slots for worker in kernel.get(Supervisor).workers}
