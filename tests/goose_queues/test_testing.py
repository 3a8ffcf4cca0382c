"""What tests of applications use works as they expect."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goose import Instance
from goose.testing import AppTestClient
from goose_queues import Client, Clock, Job, JobContext, JobNotFound, PayloadError
from goose_queues.testing import DrainReport, FakeQueue, FrozenClock, drain
from queue_apps import Boot, MakeApp


@dataclass
class Diary:
    lines: list[Any] = field(default_factory=list)


class SendEmail(Job, queue="emails"):
    to: str

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.lines.append(self.to)


class Family(Job):
    generations: int

    async def handle(self, ctx: JobContext) -> None:
        if self.generations:
            await ctx.client.dispatch(Family(generations=self.generations - 1)).on_queue(f"g{self.generations}")


class Endless(Job):
    async def handle(self, ctx: JobContext) -> None:
        await ctx.client.dispatch(Endless())


class Moody(Job, max_retries=1, retry_delay=60):
    mood: str

    async def handle(self, ctx: JobContext) -> None:
        match self.mood:
            case "bad":
                raise ValueError("in a bad mood")
            case "sleepy":
                raise ctx.snooze(60)
            case "off":
                raise ctx.cancel("not today")


@dataclass
class Service:
    queue: Client

    async def welcome(self, *addresses: str) -> None:
        for address in addresses:
            await self.queue.dispatch(SendEmail(to=address)).delay(timedelta(minutes=1)).priority(3)


class TestDrain:
    async def test_everything_that_is_due(self, boot: Boot) -> None:
        """It runs what is due on every queue, and what those jobs dispatch, not what is due later."""
        async with boot(SendEmail, Family, Diary) as kernel:
            client = kernel.get(Client)
            await client.dispatch(SendEmail(to="a"))
            await client.dispatch(SendEmail(to="b")).on_queue("nobody-works-it")
            await client.dispatch(SendEmail(to="later")).delay(60)
            await client.dispatch(Family(generations=3))
            report = await drain(kernel)
            assert report == DrainReport(completed=6)
            assert sorted(kernel.get(Diary).lines) == ["a", "b"]
            assert await drain(kernel) == DrainReport()

    async def test_report(self, boot: Boot) -> None:
        """The report counts each kind of end and keeps the errors."""
        async with boot(Moody) as kernel:
            client = kernel.get(Client)
            await client.dispatch_many(Moody(mood=mood) for mood in ("good", "bad", "sleepy", "off"))
            await client.dispatch(Moody(mood="bad")).retries(0)
            report = await drain(kernel)
        assert (report.completed, report.retried, report.snoozed, report.cancelled, report.failed) == (1, 1, 1, 1, 1)
        assert [(error.type, error.message) for error in report.errors] == [("ValueError", "in a bad mood")] * 2

    async def test_without_end(self, boot: Boot) -> None:
        """Jobs that dispatch one another for ever are noticed, and the one too many is given back."""
        async with boot(Endless) as kernel:
            await kernel.get(Client).dispatch(Endless())
            with pytest.raises(RuntimeError) as error:
                await drain(kernel, limit=20)
            assert (await kernel.get(Client).stats())["default"].pending == 1
        assert str(error.value) == "drain() made 20 attempts and more jobs are due: do they dispatch each other?"

    async def test_waiting_beside_it(self, boot: Boot) -> None:
        """Whoever waits for a result gets it from a drain."""
        async with boot(SendEmail, Diary) as kernel:
            handle = await kernel.get(Client).dispatch(SendEmail(to="a"))
            waiting = asyncio.create_task(handle.result(timeout=30))
            await drain(kernel)
            assert await waiting is None

    def test_through_the_test_client(self, make_app: MakeApp) -> None:
        """AppTestClient.drain() is the same, for plain code."""
        app: Instance = make_app(SendEmail, Diary)
        with AppTestClient(app) as http:
            http.kernel.get(Client).dispatch(SendEmail(to="a")).send()
            assert http.drain() == DrainReport(completed=1)
            assert http.kernel.get(Diary).lines == ["a"]


class TestFrozenClock:
    async def test_what_comes_due(self, boot: Boot) -> None:
        """Nothing comes due until the clock is moved, and then exactly what is due."""
        clock = FrozenClock(datetime(2027, 1, 1, tzinfo=UTC))
        async with boot(SendEmail, Diary, overrides={Clock: clock}) as kernel:
            client = kernel.get(Client)
            await client.dispatch(SendEmail(to="minute")).delay(60)
            await client.dispatch(SendEmail(to="date")).at(datetime(2027, 1, 1, 0, 5, tzinfo=UTC))
            assert (await drain(kernel)).completed == 0
            clock.move(timedelta(seconds=60))
            assert (await drain(kernel)).completed == 1
            clock.move(239.999)
            assert (await drain(kernel)).completed == 0
            clock.move(0.001)
            assert (await drain(kernel)).completed == 1
            assert kernel.get(Diary).lines == ["minute", "date"]

    async def test_retries(self, boot: Boot) -> None:
        """A retry runs when its wait is over by that clock."""
        clock = FrozenClock()
        async with boot(Moody, overrides={Clock: clock}) as kernel:
            await kernel.get(Client).dispatch(Moody(mood="bad"))
            assert (await drain(kernel)).retried == 1
            clock.move(59)
            assert (await drain(kernel)) == DrainReport()
            clock.move(1)
            assert (await drain(kernel)).failed == 1

    def test_naive(self) -> None:
        """It needs to know which time is meant."""
        with pytest.raises(ValueError, match="^FrozenClock needs an aware datetime: use datetime.now"):
            FrozenClock(datetime(2027, 1, 1))  # noqa: DTZ001 - what is tested


class TestFakeQueue:
    async def test_records(self, boot: Boot) -> None:
        """In place of the client it records what is dispatched, options included, and runs nothing."""
        queue = FakeQueue()
        async with boot(SendEmail, Diary, Service, overrides={Client: queue}) as kernel:
            await kernel.get(Service).welcome("a@x", "b@x")
            assert kernel.get(Client) is queue
            assert kernel.get(Diary).lines == []
        queue.assert_dispatched(SendEmail)
        queue.assert_dispatched(SendEmail, times=2)
        queue.assert_dispatched(SendEmail, times=1, where=lambda job: job.to == "b@x")
        assert queue.dispatched == (SendEmail(to="a@x"), SendEmail(to="b@x"))
        assert [(r.queue, r.delay, r.priority) for r in queue.records] == [("emails", 60, 3)] * 2

    async def test_what_it_says(self) -> None:
        """A failed assertion says what was dispatched instead."""
        queue = FakeQueue()
        with pytest.raises(AssertionError) as none:
            queue.assert_dispatched(SendEmail)
        queue.assert_nothing_dispatched()
        await queue.dispatch_many([SendEmail(to="a"), SendEmail(to="b"), Endless()])
        with pytest.raises(AssertionError) as other:
            queue.assert_dispatched(SendEmail, times=1, where=lambda job: job.to == "c")
        with pytest.raises(AssertionError) as some:
            queue.assert_nothing_dispatched()
        assert str(none.value) == (
            "SendEmail should have been dispatched at least once, but was 0 times. Dispatched were: nothing"
        )
        assert str(other.value) == (
            "SendEmail that fits where= should have been dispatched 1 times, but was 0 times. "
            "Dispatched were: SendEmail (2 times), Endless (1 times)"
        )
        assert str(some.value) == (
            "nothing should have been dispatched, but was: SendEmail (2 times), Endless (1 times)"
        )

    async def test_checks(self) -> None:
        """What the real one refuses, it refuses."""
        queue = FakeQueue()
        with pytest.raises(TypeError, match="pass an instance"):
            queue.dispatch(SendEmail)  # type: ignore[arg-type]
        with pytest.raises(PayloadError):
            queue.dispatch(SendEmail(to="\ud800"))
        with pytest.raises(ValueError, match="delay"):
            queue.dispatch(SendEmail(to="a")).delay(-1)
        queue.assert_nothing_dispatched()

    async def test_watching(self) -> None:
        """Status and counts are those of jobs that wait."""
        queue = FakeQueue()
        handle = await queue.dispatch(SendEmail(to="a"))
        await queue.dispatch(SendEmail(to="b")).delay(5)
        assert (await handle.status()).status == "pending"
        assert (await queue.get_status(handle.id)).name == "SendEmail"
        assert (await queue.get_record(handle.id)).name == "SendEmail"
        stats = await queue.stats()
        assert (stats["emails"].pending, stats["emails"].scheduled, stats["other"].pending) == (1, 1, 0)
        with pytest.raises(JobNotFound):
            await queue.get_status("nothing")

    def test_blocking(self) -> None:
        """Plain code ends the sentence with send(), without any event loop."""
        queue = FakeQueue()
        queue.dispatch(SendEmail(to="a")).send()
        queue.dispatch(SendEmail(to="b")).using(None).send()
        queue.assert_dispatched(SendEmail, times=2)
