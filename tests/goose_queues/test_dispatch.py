"""The sentence that dispatches: what it stores, what it refuses, and that it does not go missing."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import warnings
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

import goose
from goose import GooseError, Kernel
from goose_queues import (
    Client,
    InvalidQueueName,
    Job,
    JobCancelled,
    JobContext,
    JobFailed,
    JobNotFound,
    PayloadError,
    PayloadTooLarge,
    StoreUnavailable,
    UnregisteredJob,
)
from goose_queues.record import JobRecord
from goose_queues.supervisor import Supervisor
from goose_queues.testing import drain
from goose_sql import Database
from queue_apps import Boot, MakeApp


class SendEmail(Job, queue="emails", priority=10, max_retries=5, timeout=60):
    to: str

    async def handle(self, ctx: JobContext) -> str:
        return f"sent to {self.to}"


class Plain(Job):
    number: int = 0

    async def handle(self, ctx: JobContext) -> None: ...


class Broken(Job, max_retries=0):
    async def handle(self, ctx: JobContext) -> None:
        raise ValueError("no such address")


class Withdrawn(Job):
    async def handle(self, ctx: JobContext) -> None:
        raise ctx.cancel("no longer wanted")


class Unknown(Job):
    async def handle(self, ctx: JobContext) -> None: ...


async def stored(kernel: Kernel, job_id: str) -> JobRecord:
    record = await kernel.get(Supervisor).store.get(job_id)
    if record is None:
        raise LookupError(job_id)
    return record


def unawaited(caught: list[warnings.WarningMessage]) -> list[str]:
    gc.collect()
    return [str(warning.message) for warning in caught if "never sent" in str(warning.message)]


class TestWhatIsStored:
    async def test_class_options(self, boot: Boot) -> None:
        """A job is stored with its class's options and an id that the handle knows."""
        async with boot(SendEmail) as kernel:
            handle = await kernel.get(Client).dispatch(SendEmail(to="a@example.com"))
            record = await stored(kernel, handle.id)
        assert (record.name, record.queue, record.status) == ("SendEmail", "emails", "pending")
        assert (record.priority, record.max_retries, record.timeout) == (10, 5, 60)
        assert record.payload == '{"to":"a@example.com"}'

    async def test_module_defaults(self, boot: Boot) -> None:
        """Where the class says nothing, the module's settings hold."""
        async with boot(Plain, queue="slow", default_retry_limit=7, default_timeout=None) as kernel:
            record = await stored(kernel, (await kernel.get(Client).dispatch(Plain())).id)
        assert (record.queue, record.priority, record.max_retries, record.timeout) == ("slow", 1, 7, None)

    async def test_options_of_the_sentence(self, boot: Boot) -> None:
        """What the sentence says wins over the class."""
        async with boot(SendEmail) as kernel:
            handle = await (
                kernel.get(Client)
                .dispatch(SendEmail(to="a"))
                .on_queue("bulk")
                .priority(-3)
                .retries(0)
                .timeout(timedelta(minutes=2))
                .meta(tenant="acme", tries=[1, None])
            )
            record = await stored(kernel, handle.id)
        assert (record.queue, record.priority, record.max_retries, record.timeout) == ("bulk", -3, 0, 120)
        assert record.meta == '{"tenant":"acme","tries":[1,null]}'

    async def test_no_timeout(self, boot: Boot) -> None:
        """timeout(None) takes the class's limit away."""
        async with boot(SendEmail) as kernel:
            handle = await kernel.get(Client).dispatch(SendEmail(to="a")).timeout(None)
            assert (await stored(kernel, handle.id)).timeout is None

    async def test_delay(self, boot: Boot) -> None:
        """A delayed job is due that much later than it was stored."""
        async with boot(Plain) as kernel:
            handle = await kernel.get(Client).dispatch(Plain()).delay(timedelta(minutes=5))
            record = await stored(kernel, handle.id)
            stats = await kernel.get(Client).stats()
        assert record.available_at - record.created_at == timedelta(minutes=5)
        assert (stats["default"].pending, stats["default"].scheduled) == (0, 1)

    async def test_at(self, boot: Boot) -> None:
        """A job for a certain time is due then, whatever zone that was said in."""
        when = datetime.now(timezone(timedelta(hours=9))) + timedelta(days=3)
        async with boot(Plain) as kernel:
            handle = await kernel.get(Client).dispatch(Plain()).at(when)
            assert (await stored(kernel, handle.id)).available_at == when.astimezone(UTC)

    async def test_a_time_that_has_passed(self, boot: Boot) -> None:
        """A time that has passed means now."""
        async with boot(Plain) as kernel:
            await kernel.get(Client).dispatch(Plain()).at(datetime(2001, 1, 1, tzinfo=UTC))
            assert (await drain(kernel)).completed == 1

    async def test_many(self, boot: Boot) -> None:
        """Many jobs are stored by one sentence, with its options, in their order."""
        async with boot(Plain) as kernel:
            handles = await kernel.get(Client).dispatch_many(Plain(number=n) for n in range(2_500)).on_queue("bulk")
            records = [await stored(kernel, handle.id) for handle in (handles[0], handles[1_000], handles[-1])]
            assert (await kernel.get(Client).stats())["bulk"].pending == 2_500
        assert len({handle.id for handle in handles}) == 2_500
        assert [record.payload for record in records] == ['{"number":0}', '{"number":1000}', '{"number":2499}']
        assert {record.queue for record in records} == {"bulk"}

    async def test_none_at_all(self, boot: Boot) -> None:
        """No jobs are no fault."""
        async with boot(Plain) as kernel:
            assert await kernel.get(Client).dispatch_many([]) == []


class TestRefusals:
    """Each raises in the caller's line, stores nothing, and does not warn that something was never sent."""

    @pytest.fixture
    async def queue(self, boot: Boot) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with boot(Plain, SendEmail) as kernel:
                client = kernel.get(Client)
                yield client
                assert sum(stats.pending + stats.scheduled for stats in (await client.stats()).values()) == 0
            assert unawaited(caught) == []

    async def test_a_class(self, queue: Client) -> None:
        """A class is not an instance."""
        with pytest.raises(TypeError) as error:
            queue.dispatch(SendEmail)  # type: ignore[arg-type]
        assert str(error.value) == "pass an instance: SendEmail(...)"

    @pytest.mark.parametrize("thing", ["SendEmail", {}, None, lambda: None])
    async def test_something_else(self, queue: Client, thing: Any) -> None:
        """What is no job is named by its type."""
        with pytest.raises(TypeError) as error:
            queue.dispatch(thing)
        assert str(error.value) == f"not a job: {type(thing).__name__}"

    async def test_unregistered(self, queue: Client) -> None:
        """A class that no module declares would never run."""
        with pytest.raises(UnregisteredJob) as error:
            queue.dispatch(Unknown())
        assert str(error.value) == "Unknown is not in declarations: add it to the declarations of a module"

    @pytest.mark.parametrize("delay", [-5, float("nan"), "5m", True, None])
    async def test_delay(self, queue: Client, delay: Any) -> None:
        """A delay is a non-negative duration."""
        with pytest.raises(
            (TypeError, ValueError), match="delay.. must be a non-negative timedelta or number of seconds"
        ):
            queue.dispatch(Plain()).delay(delay)

    async def test_too_far_ahead(self, queue: Client) -> None:
        """Ten years are enough for everyone."""
        with pytest.raises(ValueError, match=r"delay\(\) is more than 10 years ahead"):
            queue.dispatch(Plain()).delay(timedelta(days=40_000))
        with pytest.raises(ValueError, match=r"at\(\) is more than 10 years ahead"):
            queue.dispatch(Plain()).at(datetime(9999, 1, 1, tzinfo=UTC))

    async def test_naive(self, queue: Client) -> None:
        """A naive datetime is refused with what to write instead."""
        with pytest.raises(ValueError, match="at") as error:
            queue.dispatch(Plain()).at(datetime(2027, 1, 1))  # noqa: DTZ001 - what is tested
        assert str(error.value) == "at() needs an aware datetime: use datetime.now(timezone.utc)"

    async def test_delay_and_at(self, queue: Client) -> None:
        """One of the two, in either order."""
        when = datetime.now(UTC)
        with pytest.raises(ValueError, match=r"^delay\(\) and at\(\) together: choose one$"):
            queue.dispatch(Plain()).delay(1).at(when)
        with pytest.raises(ValueError, match=r"^delay\(\) and at\(\) together: choose one$"):
            queue.dispatch(Plain()).at(when).delay(1)

    @pytest.mark.parametrize("priority", [1.5, "high", 2**40, True, None])
    async def test_priority(self, queue: Client, priority: Any) -> None:
        """A priority is a small integer."""
        with pytest.raises((TypeError, ValueError), match=r"priority must be an integer -32768\.\.32767"):
            queue.dispatch(Plain()).priority(priority)

    @pytest.mark.parametrize("name", ["", " a", "a/b", "q" * 300, "../x", "q; DROP TABLE", "🪿", "a\n", None])
    async def test_queue(self, queue: Client, name: Any) -> None:
        """A queue's name is plain."""
        with pytest.raises(InvalidQueueName, match=r"use \[A-Za-z0-9_\.-\]\{1,64\}"):
            queue.dispatch(Plain()).on_queue(name)

    @pytest.mark.parametrize("retries", [-1, 10**9, None])
    async def test_retries(self, queue: Client, retries: Any) -> None:
        """Retries are counted from 0 to 1000."""
        with pytest.raises(ValueError, match=r"retries\(\) must be an integer 0\.\.1000"):
            queue.dispatch(Plain()).retries(retries)

    @pytest.mark.parametrize("timeout", [0, -1, float("inf")])
    async def test_timeout(self, queue: Client, timeout: float) -> None:
        """A timeout is above zero."""
        with pytest.raises(ValueError, match=r"timeout\(\) must be"):
            queue.dispatch(Plain()).timeout(timeout)

    async def test_meta(self, queue: Client) -> None:
        """What goes beside the payload is small JSON."""
        with pytest.raises(PayloadError, match=r"^meta: \$\.who"):
            queue.dispatch(Plain()).meta(who=object())
        with pytest.raises(PayloadTooLarge, match=r"^meta: \$: 9 010 bytes > 8 192; store a reference$"):
            queue.dispatch(Plain()).meta(text="x" * 8_999)

    async def test_payload(self, boot: Boot) -> None:
        """A payload over the limit is refused when the sentence begins."""
        async with boot(SendEmail, max_payload_size=1024) as kernel:
            with pytest.raises(PayloadTooLarge, match="1 108 bytes > 1 024; store a reference"):
                kernel.get(Client).dispatch(SendEmail(to="x" * 1099))

    async def test_one_of_many(self, queue: Client) -> None:
        """One bad job among many is named by its place, and none of them is stored."""
        jobs = [*(SendEmail(to="ok") for _ in range(57)), SendEmail(to="\ud800")]
        with pytest.raises(PayloadError, match=r"jobs\[57\]\.\$\.to is not valid Unicode"):
            queue.dispatch_many(jobs)
        with pytest.raises(TypeError, match=r"^jobs\[1\]: not a job: int$"):
            queue.dispatch_many([Plain(), 3])  # type: ignore[list-item]

    async def test_one_as_many(self, queue: Client) -> None:
        """A single job is not taken apart into its fields."""
        with pytest.raises(TypeError, match=r"^dispatch_many\(\) takes several jobs; use dispatch\(Plain\(\.\.\.\)\)$"):
            queue.dispatch_many(Plain())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"^dispatch_many\(\) takes several jobs, not int$"):
            queue.dispatch_many(3)  # type: ignore[arg-type]


class TestOnce:
    async def test_awaited_twice(self, boot: Boot) -> None:
        """A sentence is sent once; the error names the job that it has become."""
        async with boot(Plain) as kernel:
            sentence = kernel.get(Client).dispatch(Plain())
            handle = await sentence
            with pytest.raises(RuntimeError) as error:
                await sentence
            assert str(error.value) == f"already dispatched as {handle.id}"
            with pytest.raises(RuntimeError, match="already dispatched"):
                sentence.delay(5)
            assert (await kernel.get(Client).stats())["default"].pending == 1

    async def test_many_twice(self, boot: Boot) -> None:
        """The same holds for many."""
        async with boot(Plain) as kernel:
            sentence = kernel.get(Client).dispatch_many([Plain() for _ in range(5)])
            handles = await sentence
            with pytest.raises(RuntimeError, match=f"^already dispatched as {handles[0].id} to {handles[-1].id}$"):
                await sentence

    async def test_gathered(self, boot: Boot) -> None:
        """Sentences can be awaited together."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
            handles = await asyncio.gather(*(client.dispatch(Plain(number=n)) for n in range(20)))
            assert len({handle.id for handle in handles}) == 20
            assert (await client.stats())["default"].pending == 20

    async def test_after_a_failure(self, boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that the store could not take can be sent again, as the same job."""
        async with boot(Plain) as kernel:
            store = kernel.get(Supervisor).store
            sentence = kernel.get(Client).dispatch(Plain())
            with monkeypatch.context() as patched:

                async def away(*_: Any, **__: Any) -> None:
                    raise StoreUnavailable("sqlite:///queue.db", "it is away.")

                patched.setattr(store, "insert", away)
                with pytest.raises(StoreUnavailable):
                    await sentence
            handle = await sentence
            assert (await handle.status()).status == "pending"

    async def test_cancelled(self, boot: Boot) -> None:
        """Cancelling the awaiting task leaves a whole job or none, and a queue that goes on."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)

            async def dispatch() -> None:
                await client.dispatch_many([Plain(), Plain(), Plain()])

            tasks = [asyncio.create_task(dispatch()) for _ in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.wait(tasks)
            await client.dispatch(Plain())
            pending = (await client.stats())["default"].pending
        assert pending % 3 == 1
        assert pending >= 31


class TestForgotten:
    async def test_warning(self, boot: Boot) -> None:
        """A sentence that is never sent warns, naming the job and the line where it began."""
        async with boot(SendEmail) as kernel:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                kernel.get(Client).dispatch(SendEmail(to="a")).delay(5)  # type: ignore[unused-awaitable]
                gc.collect()
        [warning] = [one for one in caught if one.category is RuntimeWarning]
        line = self.test_warning.__func__.__code__.co_firstlineno + 5  # type: ignore[attr-defined]
        assert str(warning.message) == (
            f"dispatch of SendEmail was never sent (tests/goose_queues/test_dispatch.py:{line}): "
            f"await it, or end it with .send()"
        )
        assert (warning.filename, warning.lineno) == (__file__, line)

    async def test_many(self, boot: Boot) -> None:
        """Many that are never sent say how many."""
        async with boot(Plain) as kernel:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                kernel.get(Client).dispatch_many([Plain(), Plain()])  # type: ignore[unused-awaitable]
            assert unawaited(caught)[0].startswith("dispatch of 2 jobs was never sent (")

    async def test_sent(self, boot: Boot) -> None:
        """One that was sent does not warn."""
        async with boot(Plain) as kernel:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                await kernel.get(Client).dispatch(Plain()).priority(3)
            assert unawaited(caught) == []


class TestBlocking:
    async def test_send_from_a_thread(self, boot: Boot) -> None:
        """Plain code in another thread ends the sentence with send()."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
            handle = await asyncio.to_thread(lambda: client.dispatch(Plain()).priority(4).send())
            handles = await asyncio.to_thread(lambda: client.dispatch_many([Plain(), Plain()]).send())
            assert (await stored(kernel, handle.id)).priority == 4
            assert len(handles) == 2

    async def test_send_in_the_loop(self, boot: Boot) -> None:
        """In the event loop's thread it would wait for itself."""
        async with boot(Plain) as kernel:
            with pytest.raises(RuntimeError) as error:
                kernel.get(Client).dispatch(Plain()).send()
        assert str(error.value) == "send() would block the event loop; await the dispatch"

    async def test_after_the_end(self, boot: Boot) -> None:
        """After the application has stopped nothing can be dispatched, from anywhere."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
        with pytest.raises(RuntimeError, match="the queue is not running: dispatch after goose.start"):
            await client.dispatch(Plain())
        with pytest.raises(RuntimeError, match="the queue is not running"):
            await asyncio.to_thread(lambda: client.dispatch(Plain()).send())

    async def test_before_the_start(self, make_app: MakeApp) -> None:
        """Before the boot there is nothing to dispatch to."""
        refused: list[BaseException] = []

        class Eager:
            def __init__(self, client: Client) -> None:
                try:
                    client.dispatch(Plain()).send()
                except RuntimeError as error:
                    refused.append(error)

        async with goose.running(make_app(Plain, Eager)):
            pass
        assert [type(error).__name__ for error in refused] == ["NotRunning"]

    async def test_another_loop(self, boot: Boot) -> None:
        """On another event loop it is refused, with the way that works."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)

            async def elsewhere() -> None:
                await client.dispatch(Plain())

            with pytest.raises(RuntimeError, match=r"this event loop is not the application's: call \.send\(\)"):
                await asyncio.to_thread(asyncio.run, elsewhere())


class TestTransactions:
    """The queue and the application's data in one database."""

    @pytest.fixture
    async def database(self, url: str) -> Any:
        async with Database(url) as database:
            yield database

    async def test_joins_and_commits(self, boot: Boot, database: Database) -> None:
        """A dispatch inside a transaction that is open here belongs to it."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
            async with database.session() as session, session.begin():
                handle = await client.dispatch(Plain())
                with pytest.raises(JobNotFound):
                    await handle.status()
            assert (await handle.status()).status == "pending"

    async def test_joins_and_rolls_back(self, boot: Boot, database: Database) -> None:
        """When the transaction is rolled back, there never was a job."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
            with pytest.raises(ZeroDivisionError):
                async with database.session() as session, session.begin():
                    await client.dispatch_many([Plain(), Plain()])
                    raise ZeroDivisionError
            assert (await client.stats())["default"].pending == 0

    async def test_using(self, boot: Boot, database: Database) -> None:
        """A session that is named is joined, wherever it comes from."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
            async with AsyncSession(database.engine) as session:
                await client.dispatch(Plain()).using(session)
                await session.rollback()
                kept = await client.dispatch(Plain()).using(session)
                await session.commit()
            assert (await client.stats())["default"].pending == 1
            assert (await kept.status()).status == "pending"

    async def test_on_its_own(self, boot: Boot, database: Database) -> None:
        """using(None) stores it at once, whatever is open."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
            with pytest.raises(ZeroDivisionError):
                async with database.session() as session, session.begin():
                    await client.dispatch(Plain()).using(None)
                    raise ZeroDivisionError
            assert (await client.stats())["default"].pending == 1

    async def test_on_its_own_behind_its_own_lock(self, boot: Boot, database: Database) -> None:
        """using(None) by a task that holds the write lock would wait for itself: refused at once."""
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
            async with database.session() as session, session.begin():
                await client.dispatch(Plain())
                with pytest.raises(GooseError):
                    client.dispatch(Plain()).using(None)

    async def test_using_what_is_no_session(self, boot: Boot) -> None:
        """What is no session is refused in the line that names it."""
        async with boot(Plain) as kernel:
            with pytest.raises(TypeError, match=r"using\(\) takes an AsyncSession"):
                kernel.get(Client).dispatch(Plain()).using("session")  # type: ignore[arg-type]


class TestQueues:
    async def test_nobody_works_it(self, boot: Boot, caplog: pytest.LogCaptureFixture) -> None:
        """A queue that nobody is known to work is accepted, with one warning."""
        async with boot(SendEmail, workers={"exports": 1}) as kernel:
            client = kernel.get(Client)
            with caplog.at_level(logging.WARNING, "goose_queues.client"):
                for queue in ("emails", "exports", "default", "attic", "attic"):
                    await client.dispatch(SendEmail(to="a")).on_queue(queue)
        assert [record.getMessage() for record in caplog.records] == [
            "no registered job and no setting names the queue 'attic': its jobs wait until a worker serves it"
        ]


class TestHandle:
    async def test_result(self, boot: Boot) -> None:
        """The handle waits for what the handler returns."""
        async with boot(SendEmail, background=True) as kernel:
            handle = await kernel.get(Client).dispatch(SendEmail(to="bob"))
            assert await handle.result(timeout=30) == "sent to bob"
            assert (await handle.status()).status == "completed"

    async def test_failed(self, boot: Boot) -> None:
        """A job that failed for good raises what became of it."""
        async with boot(Broken, background=True) as kernel:
            handle = await kernel.get(Client).dispatch(Broken())
            with pytest.raises(JobFailed) as error:
                await handle.result(timeout=timedelta(seconds=30))
        assert str(error.value) == f"Broken {handle.id} failed: ValueError: no such address"
        assert (error.value.error_type, error.value.message) == ("ValueError", "no such address")
        assert "no such address" in error.value.traceback

    async def test_cancelled(self, boot: Boot) -> None:
        """A cancelled job raises the reason."""
        async with boot(Withdrawn, background=True) as kernel:
            handle = await kernel.get(Client).dispatch(Withdrawn())
            with pytest.raises(JobCancelled):
                await handle.result(timeout=30)

    async def test_run_elsewhere(self, boot: Boot) -> None:
        """A job that another process finishes is found by asking."""
        async with boot(SendEmail) as kernel, boot(SendEmail, background=True):
            handle = await kernel.get(Client).dispatch(SendEmail(to="bob"))
            assert await handle.result(timeout=30) == "sent to bob"

    async def test_timeout(self, boot: Boot) -> None:
        """Waiting has an end."""
        async with boot(Plain) as kernel:
            handle = await kernel.get(Client).dispatch(Plain())
            with pytest.raises(TimeoutError) as error:
                await handle.result(timeout=0.02)
        assert str(error.value) == f"job {handle.id} did not finish within 0.02 s"


def test_from_a_thread_without_a_loop(boot: Boot) -> None:
    """A thread that nobody of ours has started may dispatch, too."""
    handles: list[Any] = []

    async def main() -> None:
        async with boot(Plain) as kernel:
            client = kernel.get(Client)
            done = asyncio.Event()
            loop = asyncio.get_running_loop()

            def work() -> None:
                handles.append(client.dispatch(Plain()).send())
                loop.call_soon_threadsafe(done.set)

            threading.Thread(target=work).start()
            await done.wait()
            assert (await handles[0].status()).status == "pending"

    asyncio.run(main())
