"""Rows 1 to 46: what is wrong with a job, its values or its sentence, in the line that dispatches it."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import uuid
import warnings
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bad_inputs.case import Bench, Case, accepted, in_thread, refused
from bad_inputs.jobs import Colour, Good, Holds, Point, SendEmail, Unregistered
from goose_queues import (
    BatchError,
    BatchTooLarge,
    ChainTooLong,
    Client,
    InvalidQueueName,
    JobStatus,
    PayloadError,
    PayloadTooLarge,
    UnregisteredJob,
)
from waiting import wait_until

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)
NAIVE = datetime(2027, 1, 1)  # noqa: DTZ001 - what is tested
ID = uuid.UUID("01a20acc-dafb-765c-a4ca-61c28b7f79af")


class Base(DeclarativeBase): ...


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


def a_cycle() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["b"] = found
    return found


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def a_coroutine() -> Any:
    found = asyncio.sleep(0)
    found.close()
    return found


def sized(size: int) -> SendEmail:
    """A job whose payload has so many bytes."""
    return SendEmail(to="x" * (size - len('{"to":"","subject":""}')))


def holding(row: int, what: str, fields: dict[str, Any], *facts: str) -> Case:
    """A job that holds this is refused when it is dispatched."""
    return refused(row, what, lambda bench: bench.queue.dispatch(Holds(**fields)), PayloadError, "Holds: $.", *facts)


def comes_back(row: int, what: str, fields: dict[str, Any]) -> Case:
    """A job that holds this is handed exactly that to its handler."""

    async def show(bench: Bench) -> None:
        await bench.ended((await bench.queue.dispatch(Holds(**fields))).id)
        seen = Holds.seen.pop()
        assert seen == Holds(**fields)
        assert {name: type(getattr(seen, name)) for name in fields} == {name: type(fields[name]) for name in fields}

    return accepted(row, what, show)


def made(row: int, what: str, fields: dict[str, Any], *facts: str) -> Case:
    """A job cannot be made so: pydantic's own error, unchanged, before there is anything to dispatch."""
    return refused(row, what, lambda _: SendEmail(**fields), ValidationError, "validation error for SendEmail", *facts)


def said(row: int, what: str, say: Any, error: type[Exception], *facts: str) -> Case:
    """A sentence is refused in the line that says it, and does not complain that it was never sent."""

    def attempt(bench: Bench) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            say(bench.queue.dispatch(Good()))
            gc.collect()

    return refused(row, what, attempt, error, *facts)


async def never_sent(bench: Bench) -> None:
    def forget() -> None:
        bench.queue.dispatch(SendEmail(to="a")).delay(5)  # type: ignore[unused-awaitable]
        gc.collect()

    sentence = r"^dispatch of SendEmail was never sent \(\S*at_dispatch\.py:\d+\): await it, or end it with \.send\(\)$"
    with pytest.warns(RuntimeWarning, match=sentence):
        forget()


async def sent_twice(bench: Bench) -> None:
    sentence = bench.queue.dispatch(Good())
    handle = await sentence
    with pytest.raises(RuntimeError, match=f"^already dispatched as {handle.id}$"):
        await sentence


async def before_the_start(bench: Bench) -> None:
    refusals: list[BaseException] = []

    class Eager:
        def __init__(self, client: Client) -> None:
            try:
                client.dispatch(Good()).send()
            except RuntimeError as error:
                refusals.append(error)

    async with bench.boots(Good, Eager):
        pass
    assert [str(refusal) for refusal in refusals] == [NOT_RUNNING]


async def after_the_stop(bench: Bench) -> None:
    async with bench.boots(Good) as kernel:
        client = kernel.get(Client)
    with pytest.raises(RuntimeError, match="goose.start"):
        await client.dispatch(Good())


async def on_another_loop(bench: Bench) -> None:
    async def dispatch() -> None:
        await bench.queue.dispatch(Good())

    with pytest.raises(
        RuntimeError, match=r"this event loop is not the application's: call \.send\(\) from a plain thread"
    ):
        await in_thread(lambda: asyncio.run(dispatch()))


async def from_a_thread(bench: Bench) -> None:
    handle = await in_thread(lambda: bench.queue.dispatch(Good()).send())
    assert await handle.result(timeout=30) == 42


async def nobody_works_it(bench: Bench) -> None:
    handle = await bench.queue.dispatch(Good()).on_queue("attic")
    warned = "no registered job and no setting names the queue 'attic': its jobs wait until a worker serves it"
    assert warned in bench.log.messages
    status = await bench.queue.get_status(handle.id)
    assert (status.status, status.note) == (
        "pending",
        "no worker for queue attic: no registered job and no setting names it",
    )


async def timeout_above_the_lease(bench: Bench) -> None:
    async with bench.boots(Good, stale_job_timeout=5, default_timeout=3600):
        handle = await bench.queue.dispatch(Good()).timeout(timedelta(days=1))
    assert await handle.result(timeout=30) == 42


async def no_timeout(bench: Bench) -> None:
    handle = await bench.queue.dispatch(Good()).timeout(None)
    assert bench.found(handle.id).timeout is None
    assert await handle.result(timeout=30) == 42


async def same_instance_twice(bench: Bench) -> None:
    good = Good()
    chain = await bench.queue.chain(good, good).dispatch()
    assert len(set(chain.ids)) == 2
    for job_id in chain.ids:
        assert (await bench.ended(job_id)).status == "completed"


async def chain_of_one(bench: Bench) -> None:
    chain = await bench.queue.chain(Good()).dispatch()
    assert (await bench.ended(chain.ids[0])).status == "completed"


async def chain_with_a_batch(bench: Bench) -> None:
    chain = await bench.queue.chain(Good(), bench.queue.batch([Good(), Good()]), Good()).dispatch()
    for job_id in chain.ids:
        assert (await bench.ended(job_id)).status == "completed"


async def empty_batch(bench: Bench) -> None:
    batch = bench.queue.batch([]).then(SendEmail(to="then"))
    assert uuid.UUID(batch.id).version == 7
    await batch.dispatch()
    progress = await bench.queue.get_batch(batch.id)
    assert (progress.total, progress.finished_at is None) == (0, False)
    found: list[JobStatus] = []

    async def is_over() -> bool:
        found[:] = [job async for job in bench.queue.jobs(name="SendEmail") if job.batch_id == batch.id]
        return bool(found) and found[-1].status == "completed"

    await wait_until(is_over)
    assert [job.result for job in found if job.status == "completed"] == ["then"]


async def its_own_id(bench: Bench) -> None:
    batch = bench.queue.batch([Good()])
    await batch.then(SendEmail(to=batch.id)).dispatch()

    async def callback() -> JobStatus | None:
        found = [job async for job in bench.queue.jobs(name="SendEmail") if job.batch_id == batch.id]
        return found[0] if found else None

    async def is_called() -> bool:
        return await callback() is not None

    await wait_until(is_called)
    then = await callback()
    assert then is not None
    assert (await bench.ended(then.id)).result == batch.id


async def then_after_dispatch(bench: Bench) -> None:
    batch = bench.queue.batch([Good()])
    await batch.dispatch()
    with pytest.raises(BatchError, match=f"this batch was already dispatched as {batch.id}"):
        batch.then(Good())


def second_then(bench: Bench) -> None:
    bench.queue.batch([Good()]).then(Good()).then(Good())


def a_bad_member(bench: Bench) -> None:
    bench.queue.batch([*(SendEmail(to="ok") for _ in range(57)), SendEmail(to="\ud800"), *(SendEmail(to="ok"),) * 42])


NOT_RUNNING = (
    "the queue is not running: dispatch after goose.start() or goose.running() has booted the application, "
    "and before it has stopped"
)
DURATION = "must be a non-negative timedelta or number of seconds"
QUEUE = "use [A-Za-z0-9_.-]{1,64}"
PRIORITY = "must be an integer -32768..32767"
RETRIES = "must be an integer 0..1000"

CASES = [
    refused(1, "class", lambda bench: bench.queue.dispatch(SendEmail), TypeError, "pass an instance: SendEmail(...)"),
    refused(2, "text", lambda bench: bench.queue.dispatch("SendEmail"), TypeError, "not a job: str"),
    refused(2, "dict", lambda bench: bench.queue.dispatch({"to": "a"}), TypeError, "not a job: dict"),
    refused(2, "none", lambda bench: bench.queue.dispatch(None), TypeError, "not a job: NoneType"),
    refused(2, "lambda", lambda bench: bench.queue.dispatch(lambda: None), TypeError, "not a job: function"),
    refused(2, "one-of-many", lambda b: b.queue.dispatch_many([Good(), 3]), TypeError, "jobs[1]: not a job: int"),
    refused(
        5, "unregistered", lambda b: b.queue.dispatch(Unregistered()), UnregisteredJob, "Unregistered", "declarations"
    ),
    holding(9, "nul", {"text": "a mere body text\x00"}, "$.text contains NUL at index 16"),
    holding(9, "nul-in-key", {"any": {"k\x00": 1}}, "$.any has a key that contains NUL at index 1"),
    holding(10, "surrogate", {"text": "\ud800"}, "$.text is not valid Unicode"),
    holding(10, "surrogate-in-key", {"any": {"\udc00": 1}}, "$.any has a key that is not valid Unicode"),
    holding(11, "nan", {"ratio": float("nan")}, "$.ratio is not finite"),
    holding(11, "infinity", {"any": [float("-inf")]}, "$.any[0] is not finite"),
    holding(12, "bytes", {"raw": b"\xff"}, "$.raw: bytes is not JSON; encode it yourself"),
    holding(12, "set", {"numbers": {1}}, "$.numbers: set is not JSON; encode it yourself"),
    holding(12, "complex", {"any": complex(1)}, "$.any: complex is not JSON; encode it yourself"),
    holding(12, "path", {"path": Path("a")}, "$.path: ", "Path is not JSON; encode it yourself"),
    holding(12, "object", {"any": object()}, "$.any: object is not JSON; encode it yourself"),
    holding(13, "int-key", {"any": {1: 2}}, "$.any: key 1 is not a string"),
    holding(13, "int-and-text-key", {"mapping": {1: 2, "1": 3}}, "$.mapping: key 1 is not a string"),
    comes_back(14, "declared-tuple", {"declared": (1, "a")}),
    holding(14, "tuple", {"any": (1, 2)}, "$.any: tuple would come back as list; declare it as tuple"),
    comes_back(15, "53-bits", {"number": 2**53 + 1}),
    comes_back(15, "64-bits", {"number": 2**64 - 1}),
    holding(15, "400-digits", {"number": 10**400}, "$.number: an integer of 1329 bits is not exact", "limit is 64"),
    holding(15, "5000-digits", {"any": 10**5000}, "$.any: an integer of 16610 bits is not exact", "limit is 64"),
    comes_back(
        16,
        "declared",
        {
            "decimal": Decimal("1.10"),
            "uuid": ID,
            "when": NOW,
            "day": date(2026, 5, 17),
            "span": timedelta(days=1, microseconds=1),
            "colour": Colour.RED,
            "point": Point(1, NOW),
        },
    ),
    *(
        holding(
            16, f"undeclared-{type(value).__name__.lower()}", {"any": value}, f"$.any: {type(value).__name__} would"
        )
        for value in (Decimal(1), ID, NOW, NOW.date(), timedelta(1), Colour.RED, Point(1, NOW))
    ),
    holding(17, "naive-field", {"when": NAIVE}, "$.when: naive datetime; use datetime.now(timezone.utc)"),
    said(17, "naive-at", lambda s: s.at(NAIVE), ValueError, "aware datetime: use datetime.now(timezone.utc)"),
    holding(18, "cycle", {"any": a_cycle()}, "$.any.b refers to its parent"),
    holding(19, "deep", {"any": deep(100_000)}, "$.any is nested deeper than 64"),
    refused(
        20,
        "large",
        lambda bench: bench.queue.dispatch(sized(1024 * 1024 + 1)),
        PayloadTooLarge,
        "SendEmail: $: 1 048 577 bytes > 262 144; store a reference",
    ),
    holding(21, "orm", {"any": User(id=1)}, "$.any: User is no data; pass its id"),
    holding(21, "file", {"any": io.StringIO()}, "$.any: StringIO is no data; pass its id"),
    holding(21, "lock", {"any": threading.Lock()}, "$.any: lock is no data; pass its id"),
    holding(21, "coroutine", {"any": a_coroutine()}, "$.any: coroutine is no data; pass its id"),
    holding(22, "secret", {"secret": SecretStr("hunter2")}, "$.secret: secrets do not belong in a payload"),
    made(23, "missing", {}, "to\n  Field required"),
    made(23, "extra", {"to": "a", "cc": "b"}, "cc\n  Extra inputs are not permitted"),
    made(24, "wrong-type", {"to": 5}, "to\n  Input should be a valid string"),
    said(25, "negative-delay", lambda s: s.delay(-5), ValueError, f"delay() {DURATION}", "-5"),
    said(25, "nan-delay", lambda s: s.delay(float("nan")), ValueError, f"delay() {DURATION}", "nan"),
    said(25, "text-delay", lambda s: s.delay("5m"), TypeError, f"delay() {DURATION}", "'5m'"),
    said(25, "true-delay", lambda s: s.delay(True), TypeError, f"delay() {DURATION}", "True"),
    said(26, "far-delay", lambda s: s.delay(timedelta(days=40_000)), ValueError, "more than 10 years ahead"),
    said(26, "far-at", lambda s: s.at(datetime(9999, 1, 1, tzinfo=UTC)), ValueError, "more than 10 years ahead"),
    said(27, "delay-and-at", lambda s: s.delay(1).at(NOW), ValueError, "delay() and at() together: choose one"),
    said(27, "at-and-delay", lambda s: s.at(NOW).delay(1), ValueError, "delay() and at() together: choose one"),
    said(28, "fraction", lambda s: s.priority(1.5), TypeError, PRIORITY, "1.5"),
    said(28, "text", lambda s: s.priority("high"), TypeError, PRIORITY, "'high'"),
    said(28, "large", lambda s: s.priority(2**40), ValueError, PRIORITY, "1099511627776"),
    said(28, "true", lambda s: s.priority(True), TypeError, PRIORITY, "True"),
    *(
        said(29, f"queue-{what}", lambda s, name=name: s.on_queue(name), InvalidQueueName, QUEUE)
        for what, name in (
            ("empty", ""),
            ("blank", " a"),
            ("slash", "a/b"),
            ("long", "q" * 300),
            ("path", "../x"),
            ("sql", "q; DROP TABLE"),
            ("emoji", "\N{PILE OF POO}"),
            ("line", "a\n"),
        )
    ),
    accepted(30, "queue-nobody-works", nobody_works_it),
    said(31, "negative-retries", lambda s: s.retries(-1), ValueError, RETRIES, "-1"),
    said(31, "many-retries", lambda s: s.retries(10**9), ValueError, RETRIES, "1000000000"),
    said(31, "no-retries", lambda s: s.retries(None), ValueError, RETRIES, "None"),
    said(35, "zero-timeout", lambda s: s.timeout(0), ValueError, "must be more than 0 s; None means no timeout"),
    said(35, "negative-timeout", lambda s: s.timeout(-1), ValueError, f"timeout() {DURATION}", "-1"),
    said(35, "endless-timeout", lambda s: s.timeout(float("inf")), ValueError, f"timeout() {DURATION}", "inf"),
    accepted(35, "no-timeout", no_timeout),
    accepted(36, "timeout-above-the-lease", timeout_above_the_lease),
    refused(37, "empty-chain", lambda bench: bench.queue.chain(), ValueError, "chain() takes at least one job"),
    accepted(37, "chain-of-one", chain_of_one),
    accepted(37, "chain-with-a-batch", chain_with_a_batch, stores=4),
    accepted(37, "same-instance-twice", same_instance_twice, stores=2),
    refused(37, "long-chain", lambda b: b.queue.chain(*(Good(),) * 1_001), ChainTooLong, "at most 1 000 links"),
    accepted(38, "empty-batch", empty_batch),
    refused(
        39, "many-members", lambda b: b.queue.batch((Good(),) * 100_001), BatchTooLarge, "100 000 members", "100 001"
    ),
    refused(
        39,
        "many-bytes",
        lambda bench: bench.queue.batch((sized(256 * 1024),) * 257),
        BatchTooLarge,
        "67 108 864 bytes of payload",
        "67 371 008",
    ),
    refused(40, "bad-member", a_bad_member, PayloadError, "SendEmail: jobs[57].$.to is not valid Unicode"),
    accepted(41, "then-after-dispatch", then_after_dispatch),
    refused(41, "second-then", second_then, ValueError, "then() was given already"),
    accepted(42, "then-with-the-batch-id", its_own_id, stores=2),
    accepted(43, "never-sent", never_sent, stores=0),
    accepted(44, "sent-twice", sent_twice),
    accepted(45, "before-start", before_the_start, stores=0),
    accepted(45, "after-stop", after_the_stop, stores=0),
    accepted(45, "another-loop", on_another_loop, stores=0),
    accepted(45, "thread", from_a_thread),
    said(
        46,
        "send-in-the-loop",
        lambda s: s.send(),
        RuntimeError,
        "send() would block the event loop; await the dispatch",
    ),
]
