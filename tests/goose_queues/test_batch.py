"""The sentence that dispatches a batch: what it stores, whom it calls, what it refuses."""

from __future__ import annotations

import asyncio
import gc
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from goose import Kernel
from goose_queues import (
    BatchError,
    BatchHandle,
    BatchNotFound,
    BatchTooLarge,
    Client,
    Job,
    JobContext,
    PayloadError,
    UnregisteredJob,
)
from goose_queues.record import JobRecord
from goose_queues.supervisor import Supervisor
from goose_queues.testing import DrainReport, FakeQueue, drain
from goose_sql import Database
from queue_apps import Boot
from waiting import wait_until


@dataclass
class Diary:
    lines: list[str] = field(default_factory=list)


class SendEmail(Job, queue="emails", max_retries=0):
    to: str = "a@example.com"
    subject: str = ""

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        if self.to == "nobody":
            raise ValueError("no such address")
        diary.lines.append(self.to)


class Callback(Job):
    batch_id: str = ""

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        status = await ctx.client.get_status(ctx.job_id)
        assert status.batch_id == self.batch_id
        progress = await ctx.client.get_batch(self.batch_id)
        diary.lines.append(f"{type(self).__name__}: {progress.completed} of {progress.total}")


class BatchComplete(Callback): ...


class BatchBroken(Callback, queue="alarms", priority=9, max_retries=5, timeout=7): ...


class BatchOver(Callback): ...


class Undeclared(Job):
    async def handle(self, ctx: JobContext) -> None: ...


ALL = (SendEmail, BatchComplete, BatchBroken, BatchOver, Diary)


async def stored(kernel: Kernel, handle: BatchHandle) -> list[JobRecord]:
    records = [await kernel.get(Supervisor).store.get(job_id) for job_id in handle.ids]
    return [record for record in records if record is not None]


class TestRunning:
    async def test_to_its_end(self, boot: Boot) -> None:
        """When all members have completed, then and finally_ run once each, and know their batch."""
        async with boot(*ALL, poll_interval=3600, background=True) as kernel:
            queue = kernel.get(Client)
            recipients, s = ["a", "b", "c"], "hello"
            batch = queue.batch(SendEmail(to=a, subject=s) for a in recipients).on_queue("emails")
            batch.then(BatchComplete(batch_id=batch.id))
            batch.catch(BatchBroken(batch_id=batch.id))
            batch.finally_(BatchOver(batch_id=batch.id))
            await batch.dispatch()

            async def over() -> bool:
                return len(kernel.get(Diary).lines) == 5

            await wait_until(over)
            progress = await queue.get_batch(batch.id)
            assert (progress.total, progress.completed) == (3, 3)
            assert (progress.pending, progress.processing, progress.failed, progress.cancelled) == (0, 0, 0, 0)
            assert progress.finished_at is not None
            lines = kernel.get(Diary).lines
            assert sorted(lines[:3]) == recipients
            assert sorted(lines[3:]) == ["BatchComplete: 3 of 3", "BatchOver: 3 of 3"]

    async def test_a_failure(self, boot: Boot) -> None:
        """At the first failure catch runs while others still wait; at the end finally_."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            batch = queue.batch([SendEmail(to="nobody"), SendEmail(to="b"), SendEmail(to="nobody")])
            batch.then(BatchComplete(batch_id=batch.id)).catch(BatchBroken(batch_id=batch.id))
            handle = await batch.finally_(BatchOver(batch_id=batch.id)).dispatch()
            report = await drain(kernel)
            assert (report.completed, report.failed) == (3, 2)
            lines = kernel.get(Diary).lines
            assert sorted(lines) == ["BatchBroken: 1 of 3", "BatchOver: 1 of 3", "b"]
            progress = await handle.progress()
            assert (progress.completed, progress.failed, progress.total) == (1, 2, 3)

    async def test_nothing(self, boot: Boot) -> None:
        """An empty batch is over at once, and calls."""
        async with boot(*ALL) as kernel:
            batch = kernel.get(Client).batch([])
            batch.then(BatchComplete(batch_id=batch.id)).finally_(BatchOver(batch_id=batch.id))
            handle = await batch.dispatch()
            assert handle.ids == ()
            assert (await handle.progress()).finished_at is not None
            assert await drain(kernel) == DrainReport(completed=2)
            assert sorted(kernel.get(Diary).lines) == ["BatchComplete: 0 of 0", "BatchOver: 0 of 0"]

    async def test_a_retry(self, boot: Boot) -> None:
        """A retried member can complete its batch, which then calls what it has not called."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            batch = queue.batch([SendEmail(), SendEmail()])
            batch.then(BatchComplete(batch_id=batch.id)).finally_(BatchOver(batch_id=batch.id))
            handle = await batch.dispatch()
            await queue.cancel(handle.ids[0])
            assert (await drain(kernel)).completed == 2
            await queue.retry(handle.ids[0])
            assert (await handle.progress()).finished_at is None
            assert (await drain(kernel)).completed == 2
            assert kernel.get(Diary).lines[1:] == ["BatchOver: 1 of 2", "a@example.com", "BatchComplete: 2 of 2"]

    async def test_a_chain_as_a_member(self, boot: Boot) -> None:
        """A member may be a chain: each of its jobs counts, and its own options win over the batch's."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            chain = queue.chain(SendEmail(to="1"), SendEmail(to="2")).priority(9)
            handle = await queue.batch([SendEmail(to="0"), chain]).priority(2).on_queue("bulk").retries(4).dispatch()
            records = await stored(kernel, handle)
            assert [(r.chain_id, r.position, r.priority, r.queue, r.max_retries) for r in records] == [
                (None, None, 2, "bulk", 4),
                (chain.id, 0, 9, "bulk", 4),
                (chain.id, 1, 9, "bulk", 4),
            ]
            assert (await handle.progress()).total == 3
            assert (await drain(kernel)).completed == 3
            assert kernel.get(Diary).lines == ["1", "2", "0"]

    async def test_unknown(self, boot: Boot) -> None:
        """Whatever is asked for and is not there: the same error, without the text that was asked for."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            handle = await queue.batch([SendEmail()]).dispatch()
            for text in ("", "abc", handle.ids[0], "\ud800", "' OR 1=1 --", 10**30, None):
                with pytest.raises(BatchNotFound) as error:
                    await queue.get_batch(text)  # type: ignore[arg-type]
                assert (str(error.value), error.value.status_code) == ("no such batch", 404)


class TestWhatIsStored:
    async def test_members(self, boot: Boot) -> None:
        """Members are stored with the batch's id and its options, callbacks only when they are called."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            pending = queue.batch(SendEmail(to=str(n)) for n in range(3)).on_queue("bulk").priority(7).delay(60)
            pending.then(BatchComplete(batch_id=pending.id))
            handle = await pending.timeout(None).meta(tenant="acme").dispatch()
            records = await stored(kernel, handle)
            listed = [job.id async for job in queue.jobs(batch=handle.id)]
            stats = await queue.stats()
        assert handle.id == pending.id
        assert list(handle.ids) == pending.ids == listed
        assert [job.id for job in handle.jobs] == listed
        assert {(r.batch_id, r.batch_role, r.queue, r.priority, r.timeout, r.meta) for r in records} == {
            (handle.id, "member", "bulk", 7, None, '{"tenant":"acme"}')
        }
        assert {r.available_at - r.created_at for r in records} == {timedelta(minutes=1)}
        assert (stats["bulk"].scheduled, stats["default"].pending, stats["default"].scheduled) == (3, 0, 0)

    async def test_callbacks(self, boot: Boot) -> None:
        """Callbacks go by their own classes; of the batch they have the small data beside the payload."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            batch = queue.batch([SendEmail(to="nobody")]).on_queue("bulk").priority(-3).timeout(None).retries(0)
            batch.catch(BatchBroken(batch_id=batch.id)).meta(tenant="acme")
            await batch.dispatch()
            assert (await queue.stats())["alarms"].pending == 0
            await drain(kernel, limit=2)
            [called] = [job async for job in queue.jobs(queue="alarms")]
            record = await kernel.get(Supervisor).store.get(called.id)
        assert record is not None
        assert (record.name, record.queue, record.priority, record.max_retries) == ("BatchBroken", "alarms", 9, 5)
        assert (record.timeout, record.meta) == (7, '{"tenant":"acme"}')
        assert (record.batch_id, record.batch_role) == (batch.id, "catch")

    async def test_a_chain_with_its_own_delay(self, boot: Boot) -> None:
        """A chain in a batch may wait for its own time, the batch's is that of the others."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            late, plain = queue.chain(SendEmail(), SendEmail()).delay(100), queue.chain(SendEmail(), SendEmail())
            handle = await queue.batch([SendEmail(), late, plain]).delay(10).dispatch()
            records = await stored(kernel, handle)
        waits = [(record.available_at - record.created_at).total_seconds() for record in records]
        assert waits == [10, 100, 0, 10, 0]

    async def test_many(self, boot: Boot) -> None:
        """A batch of thousands is stored whole, and counted at once."""
        async with boot(*ALL) as kernel:
            handle = await kernel.get(Client).batch(SendEmail() for _ in range(5_000)).dispatch()
            progress = await handle.progress()
        assert (progress.total, progress.pending, len(handle.ids)) == (5_000, 5_000, 5_000)


class TestRefusals:
    """Each raises in the caller's line, stores nothing, and does not warn that something was never sent."""

    @pytest.fixture
    async def queue(self, boot: Boot) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with boot(*ALL) as kernel:
                client = kernel.get(Client)
                yield client
                assert sum(stats.pending + stats.scheduled for stats in (await client.stats()).values()) == 0
            gc.collect()
            assert [str(one.message) for one in caught if "never sent" in str(one.message)] == []

    async def test_one_bad_member(self, queue: Client) -> None:
        """One bad member among a hundred is named by its place and path, and none is stored."""
        members = [SendEmail(to="\ud800" if n == 57 else "a") for n in range(100)]
        with pytest.raises(PayloadError) as error:
            queue.batch(members)
        assert str(error.value) == "SendEmail: jobs[57].$.to is not valid Unicode"
        with pytest.raises(TypeError) as other:
            queue.batch([SendEmail(), "SendEmail"])  # type: ignore[list-item]
        assert str(other.value) == "jobs[1]: not a job: str"

    async def test_one_as_many(self, queue: Client) -> None:
        """A single job is not taken apart into its fields."""
        with pytest.raises(TypeError) as error:
            queue.batch(SendEmail())  # type: ignore[arg-type]
        assert str(error.value) == "batch() takes several jobs; use dispatch(SendEmail(...))"
        with pytest.raises(TypeError) as error:
            queue.batch(3)  # type: ignore[arg-type]
        assert str(error.value) == "batch() takes several jobs, not int"

    async def test_unregistered(self, queue: Client) -> None:
        """A member or callback whose class no module declares would keep the batch from its end."""
        with pytest.raises(UnregisteredJob, match="^Undeclared is not in declarations"):
            queue.batch([Undeclared()])
        batch = queue.batch([SendEmail()])
        with pytest.raises(UnregisteredJob, match="^Undeclared is not in declarations"):
            batch.then(Undeclared())

    async def test_too_many(self, queue: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """More members than one transaction should hold are refused, those of chains counted."""
        monkeypatch.setattr("goose_queues.batch.MOST_MEMBERS", 1_000)
        with pytest.raises(BatchTooLarge) as error:
            queue.batch(SendEmail() for _ in range(1_001))
        assert str(error.value) == "a batch holds at most 1 000 members, not 1 001: dispatch several"
        assert (error.value.found, error.value.limit) == (1_001, 1_000)
        with pytest.raises(BatchTooLarge) as error:
            queue.batch([*(SendEmail() for _ in range(995)), queue.chain(*[SendEmail()] * 10)])
        assert str(error.value) == "a batch holds at most 1 000 members, not 1 005: dispatch several"

    async def test_the_limit(self) -> None:
        """The limits are those that the documentation names."""
        from goose_queues.batch import MOST_BYTES, MOST_MEMBERS

        assert (MOST_MEMBERS, MOST_BYTES) == (100_000, 64 * 1024 * 1024)

    async def test_too_much(self, queue: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """More payload than one transaction should hold is refused, that of chains counted."""
        monkeypatch.setattr("goose_queues.batch.MOST_BYTES", 10_000)
        large = SendEmail(to="", subject="ü" * 1_500)
        assert len('{"to":"","subject":""}') == 22
        with pytest.raises(BatchTooLarge) as error:
            queue.batch([large] * 4)
        assert str(error.value) == "a batch holds at most 10 000 bytes of payload, not 12 088: dispatch several"
        with pytest.raises(BatchTooLarge) as error:
            queue.batch([large, queue.chain(large, large), large])
        assert str(error.value) == "a batch holds at most 10 000 bytes of payload, not 12 088: dispatch several"

    async def test_a_batch_in_a_batch(self, queue: Client) -> None:
        """A batch in a batch is the batch of its members."""
        with pytest.raises(TypeError) as error:
            queue.batch([SendEmail(), queue.batch([SendEmail()])])  # type: ignore[list-item]
        assert str(error.value) == "jobs[1]: a batch inside a batch: pass its jobs as members"

    async def test_two_levels(self, queue: Client) -> None:
        """A chain inside a batch holds jobs alone."""
        with pytest.raises(ValueError) as error:
            queue.batch([queue.chain(queue.batch([SendEmail()]))])
        assert str(error.value) == "a chain inside a batch holds jobs alone, no batches: one level is all there is"

    async def test_using_inside(self, queue: Client) -> None:
        """Only the outermost sentence says in which transaction it is."""
        with pytest.raises(ValueError) as error:
            queue.batch([queue.chain(SendEmail()).using(None)])
        assert str(error.value) == "using() of a chain inside a batch: say it of the batch"

    @pytest.mark.parametrize("word", ["then", "catch", "finally_"])
    async def test_a_second_callback(self, boot: Boot, word: str) -> None:
        """A second callback of a kind is no silent replacement; the first stays."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            batch = queue.batch([])
            getattr(batch, word)(BatchComplete(batch_id=batch.id))
            with pytest.raises(ValueError) as error:
                getattr(batch, word)(BatchOver(batch_id=batch.id))
            await batch.dispatch()
            names = [job.name async for job in queue.jobs()]
        assert str(error.value) == (f"{word}() was given already: a batch calls one job; let that one dispatch others")
        assert names == ([] if word == "catch" else ["BatchComplete"])

    async def test_a_callback_that_is_no_job(self, queue: Client) -> None:
        """A callback is a job like any other."""
        batch = queue.batch([SendEmail()])
        with pytest.raises(TypeError) as error:
            batch.then(BatchComplete)  # type: ignore[arg-type]
        assert str(error.value) == "pass an instance: BatchComplete(...)"


class TestOnce:
    async def test_dispatched_twice_or_changed(self, boot: Boot) -> None:
        """A batch is dispatched once, and is what it was then."""
        async with boot(*ALL) as kernel:
            pending = kernel.get(Client).batch([SendEmail()])
            handle = await pending.dispatch()
            attempts: list[Any] = [
                lambda: pending.then(BatchComplete()),
                lambda: pending.catch(BatchComplete()),
                lambda: pending.finally_(BatchComplete()),
                lambda: pending.delay(5),
                pending.send,
            ]
            for attempt in attempts:
                with pytest.raises(BatchError) as error:
                    attempt()
                assert str(error.value) == f"this batch was already dispatched as {handle.id}"
            with pytest.raises(BatchError):
                await pending.dispatch()
            assert (await kernel.get(Client).stats())["emails"].pending == 1

    async def test_part_of_a_chain(self, boot: Boot) -> None:
        """What has become a part of a chain is dispatched with it, callbacks included."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            batch = queue.batch([SendEmail()])
            batch.then(BatchComplete(batch_id=batch.id))
            chain = queue.chain(batch, SendEmail(to="last"))
            attempts: list[Any] = [lambda: queue.chain(batch), lambda: batch.then(BatchOver()), batch.send]
            for attempt in attempts:
                with pytest.raises(BatchError) as error:
                    attempt()
                assert str(error.value) == "this batch was already dispatched as a part of a chain"
            await chain.dispatch()
            assert (await drain(kernel)).completed == 3

    async def test_never_dispatched(self, boot: Boot) -> None:
        """A batch that is never dispatched warns, naming the line where it began."""
        async with boot(*ALL) as kernel:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                kernel.get(Client).batch([SendEmail(), SendEmail()]).then(BatchComplete())
                gc.collect()
        [warning] = [one for one in caught if one.category is RuntimeWarning]
        line = self.test_never_dispatched.__func__.__code__.co_firstlineno + 5  # type: ignore[attr-defined]
        assert str(warning.message) == (
            f"dispatch of a batch of 2 jobs was never sent (tests/goose_queues/test_batch.py:{line}): "
            "end it with await .dispatch(), or with .send()"
        )


class TestTransactions:
    @pytest.fixture
    async def database(self, url: str) -> Any:
        async with Database(url) as database:
            yield database

    async def test_joins(self, boot: Boot, database: Database) -> None:
        """A batch that is dispatched inside a transaction belongs to it, callbacks included."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            with pytest.raises(ZeroDivisionError):
                async with database.session() as session, session.begin():
                    gone = await queue.batch([]).then(BatchComplete()).dispatch()
                    raise ZeroDivisionError
            async with database.session() as session, session.begin():
                kept = await queue.batch([SendEmail()]).dispatch()
                with pytest.raises(BatchNotFound):
                    await kept.progress()
            with pytest.raises(BatchNotFound):
                await gone.progress()
            assert await drain(kernel) == DrainReport(completed=1)

    async def test_using(self, boot: Boot, database: Database) -> None:
        """A session that is named is joined, with its commit and its rollback."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            async with AsyncSession(database.engine) as session:
                gone = await queue.batch([SendEmail()]).using(session).dispatch()
                await session.rollback()
                kept = await queue.batch([SendEmail()]).using(session).dispatch()
                await session.commit()
            assert (await kept.progress()).pending == 1
            with pytest.raises(BatchNotFound):
                await gone.progress()

    @pytest.mark.parametrize("commit", [True, False])
    async def test_send_with_a_blocking_session(self, boot: Boot, url: str, commit: bool) -> None:
        """In a blocking session's transaction a batch ends with send(), in place."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)

            def blocking() -> None:
                engine = create_engine(url)
                with Session(engine) as session:
                    queue.batch([SendEmail(), SendEmail()]).using(session).send()
                    if commit:
                        session.commit()
                engine.dispose()

            await asyncio.to_thread(blocking)
            assert (await queue.stats())["emails"].pending == (2 if commit else 0)


async def test_send_from_a_thread(boot: Boot) -> None:
    """Plain code in another thread ends a batch with send(); in the loop's own it is refused."""
    async with boot(*ALL) as kernel:
        queue = kernel.get(Client)
        handle = await asyncio.to_thread(lambda: queue.batch([SendEmail()]).at(datetime.now(UTC)).send())
        assert (await handle.progress()).pending == 1
        pending = queue.batch([])
        with pytest.raises(RuntimeError) as error:
            pending.send()
        assert str(error.value) == "send() would block the event loop; await the dispatch"
        await pending.dispatch()


async def test_a_fake_queue_records_batches() -> None:
    """In place of the client the fake keeps members and callbacks, and answers how far the batch is."""
    queue = FakeQueue()
    batch = queue.batch(SendEmail(to=to) for to in "ab").on_queue("bulk")
    handle = await batch.then(BatchComplete(batch_id=batch.id)).catch(BatchBroken(batch_id=batch.id)).dispatch()
    queue.assert_dispatched(SendEmail, times=2)
    queue.assert_dispatched(BatchComplete, times=1, where=lambda job: job.batch_id == handle.id)
    queue.assert_dispatched(BatchBroken)
    with pytest.raises(AssertionError, match="BatchOver should have been dispatched at least once"):
        queue.assert_dispatched(BatchOver)
    assert [(r.name, r.batch_role, r.queue) for r in queue.records] == [
        ("SendEmail", "member", "bulk"),
        ("SendEmail", "member", "bulk"),
        ("BatchComplete", "then", "default"),
        ("BatchBroken", "catch", "alarms"),
    ]
    progress = await queue.get_batch(batch.id)
    assert (progress.total, progress.pending, progress.finished_at) == (2, 2, None)
    with pytest.raises(BatchNotFound):
        await queue.get_batch("another")
