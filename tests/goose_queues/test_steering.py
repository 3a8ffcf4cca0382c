"""Steering from outside: cancel, retry, pause, resume, purge, and the limits of the whole fleet."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from goose import Kernel
from goose_queues import (
    Client,
    InvalidQueueName,
    Job,
    JobCancelled,
    JobConflict,
    JobContext,
    JobFailed,
    JobNotFound,
)
from goose_queues.client import PURGED
from goose_queues.testing import drain
from queue_apps import Boot
from waiting import wait_until

NO_IDS: list[Any] = ["abc", "", 10**30, "' OR 1=1 --", "\x00", "\ud800", "%", None]
NO_QUEUES: list[Any] = ["", " a", "a/b", "x" * 300, "../x", "q; DROP TABLE", "🪿", None, 3]


@dataclass
class Diary:
    """What jobs wrote down, and the gate that some of them wait at."""

    lines: list[Any] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    most: int = 0


class Note(Job):
    text: str = "note"

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.lines.append(self.text)


class Wait(Job, queue="waits"):
    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.running += 1
        diary.most = max(diary.most, diary.running)
        try:
            await diary.gate.wait()
        except asyncio.CancelledError:
            diary.lines.append("cancelled")
            raise
        finally:
            diary.running -= 1
        diary.lines.append("done")


class Stubborn(Job, queue="waits"):
    async def handle(self, ctx: JobContext, diary: Diary) -> str:
        diary.running += 1
        try:
            await diary.gate.wait()
        except asyncio.CancelledError:
            diary.lines.append("cleaned up")
        return "done all the same"


class InThread(Job, queue="waits"):
    threads: ClassVar[list[threading.Thread]] = []

    def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.running += 1
        self.threads.append(threading.current_thread())
        try:
            while not diary.gate.is_set():
                threading.Event().wait(0.01)
        except JobCancelled as error:
            diary.lines.append(type(error).__name__)
            raise


class Fails(Job, max_retries=0):
    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.lines.append(ctx.attempt)
        if not diary.gate.is_set():
            raise ValueError("not yet")


async def running(kernel: Kernel, count: int = 1) -> Diary:
    diary = kernel.get(Diary)
    await wait_until(lambda: diary.running == count)
    return diary


class TestCancel:
    async def test_pending(self, boot: Boot) -> None:
        """A pending job that is cancelled never runs, and says why."""
        async with boot(Note, Diary) as kernel:
            client = kernel.get(Client)
            handle = await client.dispatch(Note())
            later = await client.dispatch(Note()).delay(60)
            await client.cancel(handle.id)
            await client.cancel(later.id, "no longer\r\nwanted")
            assert (await drain(kernel)).completed == 0
            with pytest.raises(JobCancelled, match="^cancelled by request$"):
                await handle.result(timeout=30)
            status = await later.status()
        assert (status.status, status.note, status.attempts) == ("cancelled", "no longer\\x0d\\x0awanted", 0)
        assert (status.finished_at is not None, status.cancel_requested) == (True, False)

    async def test_running(self, boot: Boot) -> None:
        """A running job is cancelled in its task by the process that runs it, whoever asked for it."""
        async with boot(Wait, Diary) as web, boot(Wait, Diary, background=True) as worker:
            client = web.get(Client)
            handle = await client.dispatch(Wait())
            diary = await running(worker)
            await client.cancel(handle.id, "enough")
            with pytest.raises(JobCancelled, match="^enough$"):
                await handle.result(timeout=30)
            status = await handle.status()
            assert (status.status, status.note, status.attempts) == ("cancelled", "enough", 1)
            assert diary.lines == ["cancelled"]
            assert (await client.stats())["waits"].cancelled == 1

    async def test_running_in_a_thread(self, boot: Boot) -> None:
        """In a thread job JobCancelled is raised when it runs Python code; until it has ended that is to be seen."""
        async with boot(InThread, Diary) as web, boot(InThread, Diary, background=True) as worker:
            client = web.get(Client)
            handle = await client.dispatch(InThread())
            diary = await running(worker)
            await client.cancel(handle.id, "enough")
            with pytest.raises(JobCancelled, match="^enough$"):
                await handle.result(timeout=30)
            assert diary.lines == ["JobCancelled"]
            assert (await handle.status()).status == "cancelled"

    async def test_requested(self, boot: Boot) -> None:
        """Between the request and the end the status says that it was asked for."""
        async with boot(Wait, Diary) as kernel:
            client = kernel.get(Client)
            handle = await client.dispatch(Wait())
            draining = asyncio.create_task(drain(kernel))
            diary = await running(kernel)
            await client.cancel(handle.id)
            status = await handle.status()
            assert (status.status, status.cancel_requested) == ("processing", True)
            diary.gate.set()
            await draining
            assert (await handle.status()).status == "completed"

    async def test_a_handler_that_goes_on(self, boot: Boot) -> None:
        """A handler that swallows its cancellation and returns has been cancelled all the same."""
        async with boot(Stubborn, Diary, background=True) as kernel:
            client = kernel.get(Client)
            handle = await client.dispatch(Stubborn())
            diary = await running(kernel)
            await client.cancel(handle.id)
            with pytest.raises(JobCancelled):
                await handle.result(timeout=30)
            status = await handle.status()
        assert (status.status, status.result, diary.lines) == ("cancelled", None, ["cleaned up"])

    async def test_neighbours(self, boot: Boot) -> None:
        """Only the job that was meant ends."""
        async with boot(Wait, Diary, workers=3, background=True) as kernel:
            client = kernel.get(Client)
            handles = await client.dispatch_many([Wait(), Wait(), Wait()])
            diary = await running(kernel, 3)
            await client.cancel(handles[1].id)
            await wait_until(lambda: diary.running == 2)
            diary.gate.set()
            for handle in (handles[0], handles[2]):
                await handle.result(timeout=30)
            assert sorted(diary.lines) == ["cancelled", "done", "done"]

    async def test_what_is_over(self, boot: Boot) -> None:
        """What has completed or failed cannot be cancelled; what is cancelled already stays so."""
        async with boot(Note, Fails, Diary) as kernel:
            client = kernel.get(Client)
            completed, failed = await client.dispatch(Note()), await client.dispatch(Fails())
            await drain(kernel)
            for handle, status in ((completed, "completed"), (failed, "failed")):
                with pytest.raises(JobConflict) as error:
                    await client.cancel(handle.id)
                assert str(error.value) == (
                    f"job {handle.id} is {status}: only a job that is pending or runs can be cancelled"
                )
                assert (error.value.status_code, error.value.status) == (409, status)
            pending = await client.dispatch(Note())
            await client.cancel(pending.id, "first")
            await client.cancel(pending.id, "second")
            assert (await pending.status()).note == "first"

    @pytest.mark.parametrize("job_id", NO_IDS)
    async def test_unknown(self, boot: Boot, job_id: Any) -> None:
        """What is not there can be neither cancelled nor retried nor looked at, whatever the text."""
        async with boot(Note, Diary) as kernel:
            client = kernel.get(Client)
            await client.dispatch(Note())
            for attempt in (client.cancel(job_id), client.retry(job_id), client.get_record(job_id)):
                with pytest.raises(JobNotFound) as error:
                    await attempt
                assert (str(error.value), error.value.status_code) == ("no such job", 404)


class TestRetry:
    async def test_failed(self, boot: Boot) -> None:
        """A failed job runs again, its attempts counted on, and its workers hear of it."""
        async with boot(Fails, Diary) as web, boot(Fails, Diary, poll_interval=3600, background=True) as worker:
            client = web.get(Client)
            handle = await client.dispatch(Fails())
            with pytest.raises(JobFailed):
                await handle.result(timeout=30)
            worker.get(Diary).gate.set()
            await client.retry(handle.id)
            await handle.result(timeout=30)
            assert worker.get(Diary).lines == [1, 2]

    async def test_two_clicks(self, boot: Boot) -> None:
        """The second click finds it pending, and makes no second job."""
        async with boot(Fails, Diary) as kernel:
            client = kernel.get(Client)
            handle = await client.dispatch(Fails())
            await drain(kernel)
            await client.retry(handle.id)
            with pytest.raises(JobConflict) as error:
                await client.retry(handle.id)
            assert str(error.value) == f"job {handle.id} is pending: only a failed or cancelled job can be retried"
            assert (await drain(kernel)).failed == 1

    async def test_a_running_or_completed_job(self, boot: Boot) -> None:
        """What runs or has completed is not run again."""
        async with boot(Note, Wait, Diary, background=True) as kernel:
            client = kernel.get(Client)
            completed, waiting = await client.dispatch(Note()), await client.dispatch(Wait())
            await completed.result(timeout=30)
            diary = await running(kernel)
            for handle, status in ((completed, "completed"), (waiting, "processing")):
                with pytest.raises(JobConflict, match=f"is {status}: only a failed or cancelled job can be retried"):
                    await client.retry(handle.id)
            diary.gate.set()


class TestPause:
    async def test_workers(self, boot: Boot) -> None:
        """Workers of every process leave a paused queue alone, go on with what runs, and are woken by resume."""
        async with boot(Wait, Note, Diary) as web, boot(Wait, Note, Diary, poll_interval=3600, background=True) as one:
            client = web.get(Client)
            first = await client.dispatch(Wait())
            diary = await running(one)
            await client.pause("waits")
            second = await client.dispatch(Wait())
            await (await client.dispatch(Note())).result(timeout=30)
            diary.gate.set()
            await first.result(timeout=30)
            # Its slot is free again, and what it claims next is of the other queue only.
            await (await client.dispatch(Note())).result(timeout=30)
            assert (await second.status()).status == "pending"
            stats = await client.stats()
            assert (stats["waits"].paused, stats["waits"].pending, stats["default"].paused) == (True, 1, False)
            await client.resume("waits")
            await second.result(timeout=30)
            assert (await client.stats())["waits"].paused is False

    async def test_restart(self, boot: Boot) -> None:
        """A pause outlives the process that asked for it."""
        async with boot(Note, Diary) as kernel:
            await kernel.get(Client).pause("default")
            await kernel.get(Client).dispatch(Note())
        async with boot(Note, Wait, Diary, background=True) as kernel:
            client = kernel.get(Client)
            kernel.get(Diary).gate.set()
            await (await client.dispatch(Wait())).result(timeout=30)
            assert (await drain(kernel)).completed == 0
            assert (await client.stats())["default"].pending == 1
            await client.resume("default")
            await wait_until(lambda: "note" in kernel.get(Diary).lines)

    @pytest.mark.parametrize("name", NO_QUEUES)
    async def test_no_queue(self, boot: Boot, name: Any) -> None:
        """What is no name for a queue is refused."""
        async with boot(Note, Diary) as kernel:
            client = kernel.get(Client)
            for method in (client.pause, client.resume, client.purge):
                with pytest.raises((InvalidQueueName, TypeError), match="is no name for a queue|queue"):
                    await method(name)


class TestPurge:
    async def test_all_that_is_pending(self, boot: Boot) -> None:
        """Everything that is pending goes, chunk by chunk; what runs, has finished or is elsewhere stays."""
        async with boot(Note, Wait, Diary, workers={"waits": 1}, background=True) as kernel:
            client = kernel.get(Client)
            await client.pause("default")
            await client.dispatch_many(Note() for _ in range(2_100))
            await client.dispatch_many(Note() for _ in range(50)).delay(60)
            await client.chain(*[Note()] * 50).dispatch()
            running_one, waiting_one = await client.dispatch_many([Wait(), Wait()])
            diary = await running(kernel)
            chunks: list[int] = []
            assert await client.purge("default", deleted=chunks.append) == 2_200
            assert sum(chunks) == 2_200
            assert max(chunks) <= PURGED
            assert await client.purge("default") == 0
            assert (await client.stats())["default"].pending == 0
            assert await client.purge("waits") == 1
            assert (await running_one.status()).status == "processing"
            with pytest.raises(JobNotFound):
                await waiting_one.status()
            diary.gate.set()
            await running_one.result(timeout=30)


class TestLimits:
    async def test_across_processes(self, boot: Boot) -> None:
        """Two processes together run no more of a queue than its limit; each freed slot is filled at once."""
        diary = Diary()
        options: dict[str, Any] = {"workers": 3, "limits": {"waits": 2}, "poll_interval": 3600, "background": True}
        shared: dict[str, Any] = {"overrides": {Diary: diary}, **options}
        async with boot(Wait, Diary, **shared) as one, boot(Wait, Diary, **shared):
            client = one.get(Client)
            handles = await client.dispatch_many([Wait() for _ in range(6)])
            await wait_until(lambda: diary.running == 2)
            assert (await client.stats())["waits"].processing == 2
            [first, second] = [job.id async for job in client.jobs(status="processing")]
            await client.cancel(first)
            await client.cancel(second)
            await wait_until(lambda: diary.lines == ["cancelled"] * 2)
            await wait_until(lambda: diary.running == 2)
            diary.gate.set()
            for handle in handles:
                if handle.id not in {first, second}:
                    await handle.result(timeout=30)
            assert diary.most == 2
