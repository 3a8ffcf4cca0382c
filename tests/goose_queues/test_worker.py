"""Workers claim, run and settle: order, slots, wake-ups, retries, and a store that goes away."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from goose import Kernel
from goose_queues import Client, Job, JobContext, JobFailed, StoreUnavailable
from goose_queues.errors import WorkersStuck
from goose_queues.record import Claim, Claimed, Settlement
from goose_queues.stores.sql.store import SqlStore
from goose_queues.supervisor import Supervisor
from goose_queues.testing import drain
from goose_sql import Database
from queue_apps import Boot
from waiting import wait_until


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
    number: int = 0

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.running += 1
        diary.most = max(diary.most, diary.running)
        try:
            await diary.gate.wait()
        finally:
            diary.running -= 1
        diary.lines.append(self.number)


class Flaky(Job, max_retries=2, retry_delay=0.1):
    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.lines.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")


class Nap(Job):
    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.lines.append(ctx.attempt)
        if len(diary.lines) < 3:
            raise ctx.snooze(0.05)


class Stuck(Job, queue="stuck", timeout=0.05):
    gate: ClassVar[threading.Event] = threading.Event()

    def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.running += 1
        while not self.gate.wait(30):
            continue


class Stubborn(Job):
    """Does not end when it is told to."""

    async def handle(self, ctx: JobContext, diary: Diary) -> str:
        diary.running += 1
        number = "first" if diary.running == 1 else "second"
        while not diary.gate.is_set():
            with suppress(asyncio.CancelledError):
                await diary.gate.wait()
        return number


class EndsItsTask(Job, max_retries=1, retry_delay=0.1):
    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.lines.append(ctx.attempt)
        _cancel_current_task()
        await asyncio.sleep(0)

    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        ctx.get(Diary).lines.append(str(error))


class EndsItsTaskTwice(Job, max_retries=0):
    async def handle(self, ctx: JobContext) -> None:
        _cancel_current_task()
        await asyncio.sleep(0)

    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        _cancel_current_task()
        await asyncio.sleep(0)


def _cancel_current_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


class Boom(Job):
    async def handle(self, ctx: JobContext) -> None: ...


async def settled(kernel: Kernel, queue: str, completed: int) -> None:
    async def enough() -> bool:
        return (await kernel.get(Client).stats())[queue].completed >= completed

    await wait_until(enough)


class TestClaiming:
    async def test_each_runs_once(self, boot: Boot) -> None:
        """A thousand jobs on a few slots: each runs, none twice."""
        async with boot(Note, Diary, workers=7, background=True) as kernel:
            await kernel.get(Client).dispatch_many(Note(text=str(n)) for n in range(1_000))
            await settled(kernel, "default", 1_000)
            assert sorted(map(int, kernel.get(Diary).lines)) == list(range(1_000))

    async def test_two_processes(self, boot: Boot) -> None:
        """Two applications on one file share the work, each job running once."""
        async with boot(Note, Diary, workers=3, background=True) as one, boot(Note, Diary, background=True) as other:
            await one.get(Client).dispatch_many(Note(text=str(n)) for n in range(300))
            await settled(one, "default", 300)
            lines = one.get(Diary).lines + other.get(Diary).lines
            assert sorted(map(int, lines)) == list(range(300))

    async def test_order(self, boot: Boot) -> None:
        """Higher priority first, then due time, then the order of dispatch."""
        async with boot(Note, Diary, workers=1) as kernel:
            client = kernel.get(Client)
            for text, priority in (("c", 1), ("d", 1), ("a", 9), ("e", -5), ("b", 5)):
                await client.dispatch(Note(text=text)).priority(priority)
        async with boot(Note, Diary, workers=1, background=True) as kernel:
            await settled(kernel, "default", 5)
            assert "".join(kernel.get(Diary).lines) == "abcde"

    async def test_slots(self, boot: Boot) -> None:
        """No more run at once than the queue has slots; other queues are not held up."""
        async with boot(Wait, Note, Diary, workers={"waits": 3, "default": 1}, background=True) as kernel:
            client, diary = kernel.get(Client), kernel.get(Diary)
            await client.dispatch_many(Wait(number=n) for n in range(10))
            await wait_until(lambda: diary.running == 3)
            await (await client.dispatch(Note())).result(timeout=30)
            assert (await client.stats())["waits"].processing == 3
            diary.gate.set()
            await settled(kernel, "waits", 10)
            assert diary.most == 3

    async def test_freed_slots(self, boot: Boot) -> None:
        """A slot that becomes free is filled while others are still busy."""
        async with boot(Wait, Note, Diary, workers={"waits": 2}, background=True) as kernel:
            client, diary = kernel.get(Client), kernel.get(Diary)
            await client.dispatch(Wait())
            await wait_until(lambda: diary.running == 1)
            await client.dispatch_many(Note(text=str(n)) for n in range(20)).on_queue("waits")
            await wait_until(lambda: len(diary.lines) == 20)
            assert diary.running == 1
            diary.gate.set()

    async def test_what_it_does_not_know(self, boot: Boot) -> None:
        """A job of an unknown name is not claimed; one behind it is."""
        async with boot(Note, Boom, Diary) as kernel:
            strange = await kernel.get(Client).dispatch(Boom()).priority(9)
            await kernel.get(Client).dispatch(Note())
        async with boot(Note, Diary, background=True) as kernel:
            await settled(kernel, "default", 1)
            status = await kernel.get(Client).get_status(strange.id)
        assert (status.status, status.attempts) == ("pending", 0)

    async def test_dispatch_only(self, boot: Boot) -> None:
        """workers=0 claims nothing here and keeps nobody else from it."""
        async with boot(Note, Diary, workers=0, background=True) as web, boot(Note, Diary, background=True) as worker:
            handle = await web.get(Client).dispatch(Note())
            await handle.result(timeout=30)
            assert (web.get(Diary).lines, worker.get(Diary).lines) == ([], ["note"])
            assert web.get(Supervisor).workers == ()


class TestWaking:
    async def test_at_once(self, boot: Boot) -> None:
        """An idle worker is woken by a dispatch, however seldom it looks by itself."""
        async with boot(Note, Diary, poll_interval=3600, background=True) as kernel:
            await (await kernel.get(Client).dispatch(Note())).result(timeout=30)

    async def test_by_a_commit(self, boot: Boot, url: str) -> None:
        """A dispatch that joined a transaction wakes the worker when that commits."""
        async with boot(Note, Diary, poll_interval=3600, background=True) as kernel, Database(url) as database:
            async with database.session() as session, session.begin():
                handle = await kernel.get(Client).dispatch(Note())
            await handle.result(timeout=30)

    async def test_from_elsewhere(self, boot: Boot) -> None:
        """A dispatch by another process wakes it as well."""
        async with boot(Note, Diary) as web, boot(Note, Diary, poll_interval=3600, background=True):
            await (await web.get(Client).dispatch(Note())).result(timeout=30)

    async def test_when_due(self, boot: Boot) -> None:
        """A delayed job is started when it is due, not when the worker looks next."""
        async with boot(Note, Diary, poll_interval=3600, background=True) as kernel:
            handle = await kernel.get(Client).dispatch(Note()).delay(0.2)
            await handle.result(timeout=30)
            status = await handle.status()
        assert status.started_at is not None
        assert status.started_at >= status.available_at

    async def test_retries(self, boot: Boot) -> None:
        """A failed job is tried again after its delay, until it succeeds."""
        async with boot(Flaky, Diary, poll_interval=3600, background=True) as kernel:
            handle = await kernel.get(Client).dispatch(Flaky())
            await handle.result(timeout=30)
            assert kernel.get(Diary).lines == [1, 2, 3]
            assert (await handle.status()).attempts == 3

    async def test_without_hints(self, boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker that never hears from its store is still there when a retry of its own is due."""
        async with boot(Flaky, Diary) as kernel:
            handle = await kernel.get(Client).dispatch(Flaky())
        monkeypatch.setattr(SqlStore, "subscribe", lambda *_: lambda: None)
        async with boot(Flaky, Diary, poll_interval=3600, background=True) as kernel:
            await settled(kernel, "default", 1)
            assert (await kernel.get(Client).get_status(handle.id)).attempts == 3

    async def test_snooze(self, boot: Boot) -> None:
        """A snoozed job comes back, with its attempt refunded."""
        async with boot(Nap, Diary, poll_interval=3600, background=True) as kernel:
            handle = await kernel.get(Client).dispatch(Nap())
            await handle.result(timeout=30)
            assert kernel.get(Diary).lines == [1, 1, 1]
            assert (await handle.status()).attempts == 1


class TestTrouble:
    async def test_a_store_that_does_not_answer(self, boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
        """Claims and outcomes are tried again until the store answers; no job runs twice."""
        async with boot(Note, Diary, poll_interval=0.05, background=True) as kernel:
            store = kernel.get(Supervisor).store
            claim, settle = store.claim, store.settle
            refused = {"claim": 0, "settle": 0}

            async def no_claim(request: Claim) -> Claimed:
                refused["claim"] += 1
                if refused["claim"] <= 2:
                    raise StoreUnavailable("sqlite:///queue.db", "it is away.")
                return await claim(request)

            async def no_settle(settlements: Sequence[Settlement]) -> frozenset[str]:
                refused["settle"] += 1
                if refused["settle"] <= 2:
                    raise StoreUnavailable("sqlite:///queue.db", "it is away.")
                return await settle(settlements)

            monkeypatch.setattr(store, "claim", no_claim)
            monkeypatch.setattr(store, "settle", no_settle)
            handle = await kernel.get(Client).dispatch(Note())
            await handle.result(timeout=30)
            assert kernel.get(Diary).lines == ["note"]
        assert refused["settle"] == 3

    async def test_an_outcome_that_cannot_be_written(self, boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
        """One outcome that the store chokes on does not keep the others from being written."""
        async with boot(Wait, Diary, workers=10, background=True) as kernel:
            store = kernel.get(Supervisor).store
            settle = store.settle

            async def choke(settlements: Sequence[Settlement]) -> frozenset[str]:
                if any('"number":3' in one.claimed.payload for one in settlements):
                    raise ZeroDivisionError
                return await settle(settlements)

            monkeypatch.setattr(store, "settle", choke)
            diary = kernel.get(Diary)
            await kernel.get(Client).dispatch_many(Wait(number=n) for n in range(10))
            await wait_until(lambda: diary.running == 10)
            diary.gate.set()
            await settled(kernel, "waits", 9)
            assert (await kernel.get(Client).stats())["waits"].processing == 1

    async def test_a_handler_that_cancels_its_own_task(self, boot: Boot) -> None:
        """It fails like any other, and is not left processing under a lease that is extended for ever."""
        async with boot(EndsItsTask, Diary, background=True) as kernel:
            handle = await kernel.get(Client).dispatch(EndsItsTask())
            with pytest.raises(JobFailed, match="the handler raised CancelledError"):
                await handle.result(timeout=30)
            assert kernel.get(Diary).lines == [1, 2, "the handler raised CancelledError"]

    async def test_a_job_that_never_gives_an_outcome(self, boot: Boot) -> None:
        async with boot(EndsItsTaskTwice, Diary, background=True) as kernel:
            handle = await kernel.get(Client).dispatch(EndsItsTaskTwice())
            supervisor = kernel.get(Supervisor)
            await wait_until(lambda: supervisor.workers[0].claimed == 1 and not supervisor.workers[0].busy)
            # Its lease runs out, and counts a death.
            assert supervisor._heartbeat._held == {}
            assert (await handle.status()).status == "processing"

    async def test_a_loop_that_dies(self, boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker whose loop dies is not ready meanwhile, is started again, and loses nothing that runs."""
        monkeypatch.setattr("goose.lifecycle.RESTART_MAX", 0.2)
        async with boot(Wait, Note, Diary, poll_interval=0.05, background=True) as kernel:
            client, diary = kernel.get(Client), kernel.get(Diary)
            await client.dispatch(Wait(number=1))
            await wait_until(lambda: diary.running == 1)
            store = kernel.get(Supervisor).store
            claim = store.claim
            dead = asyncio.Event()

            async def die(request: Claim) -> Claimed:
                dead.set()
                raise ZeroDivisionError("the loop's own fault")

            monkeypatch.setattr(store, "claim", die)
            await dead.wait()

            async def red() -> bool:
                return (await kernel.check())["Supervisor.on_run"] == "ZeroDivisionError: the loop's own fault"

            await wait_until(red)
            monkeypatch.setattr(store, "claim", claim)
            await (await client.dispatch(Note())).result(timeout=30)
            diary.gate.set()
            await settled(kernel, "waits", 1)
            assert (await kernel.check())["Supervisor.on_run"] is None
            assert diary.lines == ["note", 1]

    async def test_claimed_again(self, boot: Boot, url: str, caplog: pytest.LogCaptureFixture) -> None:
        """A job whose lease was lost may come back to the worker where it still runs: each attempt has its own end."""
        async with boot(Stubborn, Note, Diary, workers=2, background=True) as kernel, Database(url) as database:
            client, diary = kernel.get(Client), kernel.get(Diary)
            worker = kernel.get(Supervisor).workers[0]
            handle = await client.dispatch(Stubborn())
            try:
                await wait_until(lambda: diary.running == 1)
                async with database.transaction() as connection:
                    await connection.exec_driver_sql("UPDATE goose_jobs SET state = 'ready', token = NULL")
                await wait_until(lambda: diary.running == 2)
                assert worker.unfinished == [handle.id] * 2
            finally:
                diary.gate.set()
            assert await handle.result(timeout=30) == "second"
            await wait_until(lambda: not worker.busy)
            await (await client.dispatch(Note())).result(timeout=30)
        assert f"job {handle.id} is ended: its lease was lost: it has been claimed again" in caplog.messages
        assert [record for record in caplog.records if record.levelno > logging.WARNING] == []

    async def test_stuck_threads(self, boot: Boot) -> None:
        """A thread that does not end gives its slot to a spare one, up to half of the slots."""
        Stuck.gate.clear()
        async with boot(Stuck, Note, Diary, workers={"stuck": 2}, background=True) as kernel:
            client, diary = kernel.get(Client), kernel.get(Diary)
            try:
                await client.dispatch_many([Stuck(), Stuck()])
                await wait_until(lambda: diary.running == 2)
                handle = await client.dispatch(Note()).on_queue("stuck")
                await handle.result(timeout=30)
                assert (await client.stats())["stuck"].processing == 2
            finally:
                Stuck.gate.set()

    async def test_too_many_stuck_threads(self, boot: Boot, caplog: pytest.LogCaptureFixture) -> None:
        """Threads that have been overdue for a lease and fill half of the slots: their queue rests, the process says so."""
        Stuck.gate.clear()
        async with boot(Stuck, Note, Diary, workers=2, stale_job_timeout=5, background=True) as kernel:
            client, supervisor = kernel.get(Client), kernel.get(Supervisor)
            await client.dispatch(Stuck())
            worker = next(worker for worker in supervisor.workers if worker.queue == "stuck")
            try:
                await wait_until(lambda: any(control.overdue for control in worker._running.values()))
                await supervisor.check()
                for control in worker._running.values():
                    control.overdue_since = time.monotonic() - 6
                await asyncio.wait_for(supervisor.stuck.wait(), 30)
                with pytest.raises(WorkersStuck) as caught:
                    await supervisor.check()
                assert (await kernel.check())["QueuesModule"] == str(caught.value)
                later = await client.dispatch(Note()).on_queue("stuck")
                await (await client.dispatch(Note())).result(timeout=30)
                assert (await later.status()).status == "pending"
            finally:
                Stuck.gate.set()
            await later.result(timeout=30)
            await supervisor.check()
        assert str(caught.value) == (
            "handlers do not end although they ran out of time (1 of stuck): "
            "their queues are worked on no more here. Restart this process."
        )
        assert caplog.messages.count(str(caught.value)) == 1


class TestSuspects:
    async def test_alone(self, boot: Boot, url: str) -> None:
        """A job over which two workers have died runs while nothing else does."""
        async with boot(Wait, Note, Diary) as kernel, Database(url) as database:
            suspect = await kernel.get(Client).dispatch(Wait(number=1)).priority(9)
            async with database.transaction() as connection:
                await connection.exec_driver_sql("UPDATE goose_jobs SET deaths = 2 WHERE id = ?", (suspect.id,))
        async with boot(Wait, Note, Diary, workers=5, background=True) as kernel:
            client, diary = kernel.get(Client), kernel.get(Diary)
            await wait_until(lambda: diary.running == 1)
            other = await client.dispatch(Note())
            neighbour = await client.dispatch(Wait(number=2))
            solitude = kernel.get(Supervisor)._solitude
            assert solitude.wanted
            await wait_until(lambda: len(diary.lines) == 0)
            assert [(await h.status()).status for h in (other, neighbour)] == ["pending", "pending"]
            diary.gate.set()
            await other.result(timeout=30)
            await neighbour.result(timeout=30)
            assert diary.lines[0] == 1


async def test_drained_jobs_are_not_claimed_by_workers(boot: Boot) -> None:
    """What a drain has taken, no worker takes."""
    async with boot(Note, Diary) as kernel:
        await kernel.get(Client).dispatch(Note())
        assert (await drain(kernel)).completed == 1
        assert kernel.get(Diary).lines == ["note"]
