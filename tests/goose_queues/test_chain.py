"""The sentence that dispatches a chain: what it stores, what it refuses, and that its links run one after the other."""

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
    ChainHandle,
    ChainTooLong,
    Client,
    Job,
    JobCancelled,
    JobContext,
    JobFailed,
    JobHandle,
    JobNotFound,
    PayloadError,
    UnregisteredJob,
)
from goose_queues.record import JobRecord
from goose_queues.supervisor import Supervisor
from goose_queues.testing import DrainReport, FakeQueue, drain
from goose_sql import Database
from queue_apps import Boot


@dataclass
class Diary:
    lines: list[str] = field(default_factory=list)


class OrderJob(Job):
    order_id: str = "o"

    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.lines.append(type(self).__name__)


class ValidateOrder(OrderJob): ...


class ProcessPayment(OrderJob, max_retries=0):
    async def handle(self, ctx: JobContext, diary: Diary) -> None:
        diary.lines.append(type(self).__name__)
        if self.order_id == "broke":
            raise ValueError("no money")


class SendConfirmation(OrderJob, queue="emails", priority=5): ...


class UpdateInventory(OrderJob, timeout=60): ...


class Undeclared(OrderJob): ...


ALL = (ValidateOrder, ProcessPayment, SendConfirmation, UpdateInventory, Diary)


async def stored(kernel: Kernel, handle: ChainHandle) -> list[JobRecord]:
    records = [await kernel.get(Supervisor).store.get(job_id) for job_id in handle.ids]
    return [record for record in records if record is not None]


async def status(handle: JobHandle | BatchHandle) -> str:
    assert isinstance(handle, JobHandle)
    return (await handle.status()).status


class TestRunning:
    async def test_one_after_the_other(self, boot: Boot) -> None:
        """The links of a chain run in their order, each after the one before has completed."""
        async with boot(*ALL, workers=5, background=True) as kernel:
            o = "o-1"
            chain = await (
                kernel.get(Client)
                .chain(
                    ValidateOrder(order_id=o),
                    ProcessPayment(order_id=o),
                    SendConfirmation(order_id=o),
                    UpdateInventory(order_id=o),
                )
                .on_queue("orders")
                .dispatch()
            )
            last = chain.links[-1]
            assert isinstance(last, JobHandle)
            # Nobody's class names this queue, so nobody here works it.
            assert (await kernel.get(Client).stats())["orders"].pending == 1
            await drain(kernel)
            await last.result(timeout=30)
            assert kernel.get(Diary).lines == ["ValidateOrder", "ProcessPayment", "SendConfirmation", "UpdateInventory"]

    async def test_with_workers(self, boot: Boot) -> None:
        """Workers of different queues pass a chain on to one another without waiting for their polls."""
        async with boot(*ALL, poll_interval=3600, background=True) as kernel:
            chain = await kernel.get(Client).chain(ValidateOrder(), SendConfirmation(), UpdateInventory()).dispatch()
            last = chain.links[-1]
            assert isinstance(last, JobHandle)
            await last.result(timeout=30)
            assert kernel.get(Diary).lines == ["ValidateOrder", "SendConfirmation", "UpdateInventory"]

    async def test_a_failure(self, boot: Boot) -> None:
        """When a link fails for good the rest is cancelled, and whoever waits for it hears why."""
        async with boot(*ALL) as kernel:
            chain = await (
                kernel.get(Client)
                .chain(ValidateOrder(), ProcessPayment(order_id="broke"), SendConfirmation(), UpdateInventory())
                .dispatch()
            )
            report = await drain(kernel)
            assert (report.completed, report.failed) == (1, 1)
            assert [await status(link) for link in chain.links] == ["completed", "failed", "cancelled", "cancelled"]
            _, broken, behind, _ = chain.links
            assert isinstance(broken, JobHandle)
            assert isinstance(behind, JobHandle)
            with pytest.raises(JobFailed, match="no money"):
                await broken.result(timeout=30)
            with pytest.raises(JobCancelled) as error:
                await behind.result(timeout=30)
        assert str(error.value) == f"ProcessPayment {broken.id}, before it in its chain, failed"

    async def test_a_retry(self, boot: Boot) -> None:
        """A retry of what failed lets the rest follow."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)
            chain = await client.chain(ProcessPayment(order_id="broke"), SendConfirmation()).dispatch()
            await drain(kernel)
            await client.retry(chain.ids[0])
            assert [await status(link) for link in chain.links] == ["pending", "pending"]
            assert (await drain(kernel)).failed == 1
            assert [await status(link) for link in chain.links] == ["failed", "cancelled"]


class TestWhatIsStored:
    async def test_all_of_it_from_the_start(self, boot: Boot) -> None:
        """Every link is a row from the start, with the chain's id and its place."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)
            pending = client.chain(ValidateOrder(order_id="a"), SendConfirmation(order_id="a"), UpdateInventory())
            chain = await pending.dispatch()
            records = await stored(kernel, chain)
            listed = [job.id async for job in client.jobs(chain=chain.id)]
            seen = await client.get_status(chain.ids[1])
        assert chain.id == pending.id
        assert list(chain.ids) == pending.ids == listed
        assert [record.name for record in records] == ["ValidateOrder", "SendConfirmation", "UpdateInventory"]
        assert [(record.chain_id, record.position) for record in records] == [(chain.id, n) for n in range(3)]
        assert (seen.chain_id, seen.position, seen.status) == (chain.id, 1, "pending")

    async def test_options_of_the_classes(self, boot: Boot) -> None:
        """What the chain does not say is left to the classes."""
        async with boot(*ALL) as kernel:
            chain = await kernel.get(Client).chain(ProcessPayment(), SendConfirmation(), UpdateInventory()).dispatch()
            records = await stored(kernel, chain)
        assert [record.queue for record in records] == ["default", "emails", "default"]
        assert [record.priority for record in records] == [1, 5, 1]
        assert [record.max_retries for record in records] == [0, 3, 3]
        assert [record.timeout for record in records] == [300, 300, 60]

    async def test_options_of_the_chain(self, boot: Boot) -> None:
        """What the chain says holds for every link."""
        async with boot(*ALL) as kernel:
            chain = await (
                kernel.get(Client)
                .chain(ProcessPayment(), SendConfirmation())
                .on_queue("bulk")
                .priority(-3)
                .retries(7)
                .timeout(None)
                .meta(tenant="acme")
                .dispatch()
            )
            records = await stored(kernel, chain)
        assert {(r.queue, r.priority, r.max_retries, r.timeout, r.meta) for r in records} == {
            ("bulk", -3, 7, None, '{"tenant":"acme"}')
        }

    @pytest.mark.parametrize("way", ["delay", "at"])
    async def test_a_delay_is_of_the_first_link(self, boot: Boot, way: str) -> None:
        """A delayed chain begins later, and then goes on without further delay."""
        async with boot(*ALL) as kernel:
            pending = kernel.get(Client).chain(ValidateOrder(), SendConfirmation())
            delayed = pending.delay(60) if way == "delay" else pending.at(datetime.now(UTC) + timedelta(minutes=1))
            first, second = await stored(kernel, await delayed.dispatch())
            assert (await drain(kernel)) == DrainReport()
        assert timedelta(seconds=50) < first.available_at - first.created_at <= timedelta(seconds=61)
        assert second.available_at == second.created_at

    async def test_a_delay_behind_batches_without_members(self, boot: Boot) -> None:
        """Batches without members before the first job are over at once; that job waits for its time all the same."""
        async with boot(*ALL) as kernel:
            queue = kernel.get(Client)
            empty = queue.batch([]).then(UpdateInventory())
            chain = await queue.chain(empty, queue.batch([]), ValidateOrder(), SendConfirmation()).delay(60).dispatch()
            assert (await queue.get_batch(empty.id)).finished_at is not None
            assert (await drain(kernel)).completed == 1
            first, second = await stored(kernel, chain)
            assert kernel.get(Diary).lines == ["UpdateInventory"]
        assert first.available_at - first.created_at == timedelta(seconds=60)
        assert (first.position, second.position) == (0, 1)

    async def test_the_same_instance_twice(self, boot: Boot) -> None:
        """One instance twice is two jobs, and one link is a chain."""
        async with boot(*ALL) as kernel:
            job = ValidateOrder()
            chain = await kernel.get(Client).chain(job, job).dispatch()
            alone = await kernel.get(Client).chain(job).dispatch()
            assert len({*chain.ids, *alone.ids}) == 3
            assert (await drain(kernel)).completed == 3

    async def test_a_thousand_links(self, boot: Boot) -> None:
        """The longest chain is stored whole."""
        async with boot(*ALL) as kernel:
            chain = await kernel.get(Client).chain(*[ValidateOrder() for _ in range(1_000)]).dispatch()
            assert len(chain.ids) == 1_000
            stats = (await kernel.get(Client).stats())["default"]
        assert (stats.pending, stats.scheduled) == (1, 999)

    async def test_a_batch_as_a_link(self, boot: Boot) -> None:
        """A link may be a batch: what follows waits for all of its members; its own options win over the chain's."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)
            batch = client.batch([SendConfirmation(), UpdateInventory()]).priority(9)
            chain = await client.chain(ValidateOrder(), batch, ProcessPayment()).priority(2).on_queue("bulk").dispatch()
            records = await stored(kernel, chain)
            link = chain.links[1]
            assert isinstance(link, BatchHandle)
            assert (link.id, link.ids) == (batch.id, chain.ids[1:3])
            assert [(r.position, r.batch_id, r.priority, r.queue) for r in records] == [
                (0, None, 2, "bulk"),
                (1, batch.id, 9, "bulk"),
                (1, batch.id, 9, "bulk"),
                (2, None, 2, "bulk"),
            ]
            await drain(kernel)
            lines = kernel.get(Diary).lines
            assert (lines[0], lines[-1]) == ("ValidateOrder", "ProcessPayment")
            assert (await link.progress()).completed == 2


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

    async def test_nothing(self, queue: Client) -> None:
        """A chain of nothing has no first link."""
        with pytest.raises(ValueError) as error:
            queue.chain()
        assert str(error.value) == "chain() takes at least one job"

    async def test_too_long(self, queue: Client) -> None:
        """A chain of more than a thousand links is refused, with the way that works."""
        with pytest.raises(ChainTooLong) as error:
            queue.chain(*[ValidateOrder() for _ in range(1_001)])
        assert str(error.value) == "a chain has at most 1 000 links: let the last one dispatch another chain"

    async def test_what_is_no_job(self, queue: Client) -> None:
        """What is no job is named by its place."""
        with pytest.raises(TypeError) as error:
            queue.chain(ValidateOrder(), 3)  # type: ignore[arg-type]
        assert str(error.value) == "jobs[1]: not a job: int"
        with pytest.raises(TypeError) as error:
            queue.chain(ValidateOrder)  # type: ignore[arg-type]
        assert str(error.value) == "jobs[0]: pass an instance: ValidateOrder(...)"
        with pytest.raises(TypeError) as error:
            queue.chain([ValidateOrder()])  # type: ignore[arg-type]
        assert str(error.value) == "jobs[0]: not a job: list"

    async def test_a_bad_payload(self, queue: Client) -> None:
        """A value that cannot be stored is named by its link and its path."""
        links = [*(ValidateOrder() for _ in range(57)), ValidateOrder(order_id="\ud800")]
        with pytest.raises(PayloadError) as error:
            queue.chain(*links)
        assert str(error.value) == "ValidateOrder: jobs[57].$.order_id is not valid Unicode"

    async def test_unregistered(self, queue: Client) -> None:
        """A class that no module declares would break the chain."""
        with pytest.raises(UnregisteredJob) as error:
            queue.chain(ValidateOrder(), Undeclared())
        assert str(error.value) == "Undeclared is not in declarations: add it to the declarations of a module"

    async def test_a_chain_in_a_chain(self, queue: Client) -> None:
        """A chain in a chain is the chain of its links."""
        with pytest.raises(TypeError) as error:
            queue.chain(queue.chain(ValidateOrder()))  # type: ignore[arg-type]
        assert str(error.value) == "jobs[0]: a chain inside a chain: pass its jobs as links"

    async def test_two_levels(self, queue: Client) -> None:
        """A batch inside a chain holds jobs alone."""
        with pytest.raises(ValueError) as error:
            queue.chain(queue.batch([queue.chain(ValidateOrder())]))
        assert str(error.value) == "a batch inside a chain holds jobs alone, no chains: one level is all there is"

    @pytest.mark.parametrize("way", ["delay", "at"])
    async def test_a_delayed_batch(self, queue: Client, way: str) -> None:
        """A batch inside a chain begins with its turn."""
        batch = queue.batch([ValidateOrder()])
        delayed = batch.delay(5) if way == "delay" else batch.at(datetime.now(UTC))
        with pytest.raises(ValueError) as error:
            queue.chain(ValidateOrder(), delayed)
        assert str(error.value) == (
            "delay() or at() of a batch inside a chain: it starts when the link before has completed"
        )

    async def test_using_inside(self, queue: Client) -> None:
        """Only the outermost sentence says in which transaction it is."""
        with pytest.raises(ValueError) as error:
            queue.chain(queue.batch([ValidateOrder()]).using(None))
        assert str(error.value) == "using() of a batch inside a chain: say it of the chain"

    async def test_options(self, queue: Client) -> None:
        """Options are checked in the line that gives them, and the chain can go on after that."""
        chain = queue.chain(ValidateOrder()).delay(5)
        with pytest.raises(ValueError, match=r"^delay\(\) and at\(\) together: choose one$"):
            chain.at(datetime.now(UTC))
        with pytest.raises(ValueError, match=r"priority"):
            chain.priority(2**20)


class TestOnce:
    async def test_dispatched_twice(self, boot: Boot) -> None:
        """A chain is dispatched once; the error names what it has become."""
        async with boot(*ALL) as kernel:
            pending = kernel.get(Client).chain(ValidateOrder())
            chain = await pending.dispatch()
            for again in (pending.dispatch, lambda: asyncio.to_thread(pending.send)):
                with pytest.raises(BatchError) as error:
                    await again()
                assert str(error.value) == f"this chain was already dispatched as {chain.id}"
            assert (await kernel.get(Client).stats())["default"].pending == 1

    async def test_changed_after_dispatch(self, boot: Boot) -> None:
        """What has been stored cannot be told otherwise."""
        async with boot(*ALL) as kernel:
            pending = kernel.get(Client).chain(ValidateOrder())
            chain = await pending.dispatch()
            changes: list[Any] = [lambda: pending.delay(5), lambda: pending.on_queue("x"), lambda: pending.using(None)]
            for change in changes:
                with pytest.raises(BatchError) as error:
                    change()
                assert str(error.value) == f"this chain was already dispatched as {chain.id}"

    async def test_part_of_a_batch(self, boot: Boot) -> None:
        """What has become a part of a batch is dispatched with it, and is a part of one only."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)
            chain = client.chain(ValidateOrder())
            batch = client.batch([chain])
            attempts: list[Any] = [lambda: client.batch([chain]), lambda: chain.priority(3), chain.send]
            for attempt in attempts:
                with pytest.raises(BatchError) as error:
                    attempt()
                assert str(error.value) == "this chain was already dispatched as a part of a batch"
            with pytest.raises(BatchError):
                await chain.dispatch()
            assert (await batch.dispatch()).ids == tuple(chain.ids)

    async def test_never_dispatched(self, boot: Boot) -> None:
        """A chain that is never dispatched warns, naming the line where it began."""
        async with boot(*ALL) as kernel:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                kernel.get(Client).chain(ValidateOrder(), ProcessPayment()).delay(5)
                gc.collect()
        [warning] = [one for one in caught if one.category is RuntimeWarning]
        line = self.test_never_dispatched.__func__.__code__.co_firstlineno + 5  # type: ignore[attr-defined]
        assert str(warning.message) == (
            f"dispatch of a chain of 2 jobs was never sent (tests/goose_queues/test_chain.py:{line}): "
            "end it with await .dispatch(), or with .send()"
        )
        assert (warning.filename, warning.lineno) == (__file__, line)

    async def test_a_part_of_what_is_never_dispatched(self, boot: Boot) -> None:
        """Parts of a sentence that is never dispatched do not warn as well."""
        async with boot(*ALL) as kernel:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                client = kernel.get(Client)
                client.chain(ValidateOrder(), client.batch([ProcessPayment(), ProcessPayment()]))
                gc.collect()
        [warning] = [one for one in caught if one.category is RuntimeWarning]
        assert "dispatch of a chain of 3 jobs was never sent" in str(warning.message)


class TestTransactions:
    @pytest.fixture
    async def database(self, url: str) -> Any:
        async with Database(url) as database:
            yield database

    async def test_joins(self, boot: Boot, database: Database) -> None:
        """A chain that is dispatched inside a transaction belongs to it, whole."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)
            with pytest.raises(ZeroDivisionError):
                async with database.session() as session, session.begin():
                    gone = await client.chain(ValidateOrder(), ProcessPayment()).dispatch()
                    raise ZeroDivisionError
            async with database.session() as session, session.begin():
                chain = await client.chain(ValidateOrder(), ProcessPayment()).dispatch()
                with pytest.raises(JobNotFound):
                    await client.get_status(chain.ids[0])
            with pytest.raises(JobNotFound):
                await client.get_status(gone.ids[0])
            assert (await drain(kernel)).completed == 2

    async def test_using(self, boot: Boot, database: Database) -> None:
        """A session that is named is joined, with its commit and its rollback."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)
            async with AsyncSession(database.engine) as session:
                await client.chain(ValidateOrder(), ProcessPayment()).using(session).dispatch()
                await session.rollback()
                kept = await client.chain(ValidateOrder(), ProcessPayment()).using(session).dispatch()
                await session.commit()
            stats = (await client.stats())["default"]
            assert (stats.pending, stats.scheduled) == (1, 1)
            assert (await client.get_status(kept.ids[0])).status == "pending"

    @pytest.mark.parametrize("commit", [True, False])
    async def test_send_with_a_blocking_session(self, boot: Boot, url: str, commit: bool) -> None:
        """In a blocking session's transaction a chain ends with send(), in place."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)

            def blocking() -> None:
                engine = create_engine(url)
                with Session(engine) as session:
                    client.chain(ValidateOrder(), ProcessPayment()).using(session).send()
                    if commit:
                        session.commit()
                engine.dispose()

            await asyncio.to_thread(blocking)
            assert (await drain(kernel)).completed == (2 if commit else 0)


class TestBlocking:
    async def test_send_from_a_thread(self, boot: Boot) -> None:
        """Plain code in another thread ends a chain with send()."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)
            chain = await asyncio.to_thread(
                lambda: client.chain(ValidateOrder(), client.batch([ProcessPayment()])).priority(4).send()
            )
            assert [record.priority for record in await stored(kernel, chain)] == [4, 4]

    async def test_send_in_the_loop(self, boot: Boot) -> None:
        """In the event loop's thread it would wait for itself; the same chain can then be awaited."""
        async with boot(*ALL) as kernel:
            pending = kernel.get(Client).chain(ValidateOrder())
            with pytest.raises(RuntimeError) as error:
                pending.send()
            assert str(error.value) == "send() would block the event loop; await the dispatch"
            await pending.dispatch()

    async def test_after_the_end(self, boot: Boot) -> None:
        """After the application has stopped nothing can be dispatched."""
        async with boot(*ALL) as kernel:
            client = kernel.get(Client)
        with pytest.raises(RuntimeError, match="the queue is not running: dispatch after goose.start"):
            await client.chain(ValidateOrder()).dispatch()


async def test_a_fake_queue_records_chains() -> None:
    """In place of the client the fake keeps every link with its place, and refuses what the real one does."""
    queue = FakeQueue()
    chain = await queue.chain(ValidateOrder(order_id="a"), ProcessPayment()).on_queue("orders").delay(5).dispatch()
    queue.assert_dispatched(ValidateOrder, times=1, where=lambda job: job.order_id == "a")
    queue.assert_dispatched(ProcessPayment)
    assert [(r.chain_id, r.position, r.queue, r.delay) for r in queue.records] == [
        (chain.id, 0, "orders", 5),
        (chain.id, 1, "orders", None),
    ]
    await asyncio.to_thread(queue.chain(ValidateOrder()).send)
    queue.assert_dispatched(ValidateOrder, times=2)
    with pytest.raises(ValueError, match="at least one job"):
        queue.chain()
