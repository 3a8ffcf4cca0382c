from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

import anyio
import pytest

import goose
from goose import Module, Scope, current_scope, declare
from goose_queues.backoff import exponential
from goose_queues.config import Settings
from goose_queues.context import JobContext
from goose_queues.control import RunControl
from goose_queues.errors import ConfigError, HandlerExited, HookFailed, JobCancelled, JobTimeout, WorkerDied
from goose_queues.job import Job
from goose_queues.middleware import JobMiddleware, Next
from goose_queues.prepared import prepare
from goose_queues.record import (
    Cancelled,
    ClaimedJob,
    Completed,
    Doomed,
    ErrorRecord,
    Failed,
    Outcome,
    Released,
    Retry,
    Snoozed,
)
from goose_queues.registry import Registry
from goose_queues.runner import Runner
from waiting import wait_until

NOW = datetime(2026, 5, 17, tzinfo=UTC)
FAR = datetime(2027, 1, 1, tzinfo=UTC)


class Seen:
    """What the jobs of a test did, and what it tells them to do."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.running = asyncio.Event()
        self.never = asyncio.Event()
        self.in_thread = threading.Event()
        self.go = threading.Event()

    def add(self, *event: Any) -> None:
        self.events.append(event if len(event) > 1 else event[0])


class Unit:
    """A unit of work: commits with its scope."""

    def __init__(self, seen: Seen, scope: Scope) -> None:
        self.seen = seen
        scope.on_exit(self.end)

    async def end(self, error: BaseException | None) -> None:
        await asyncio.sleep(0)
        self.seen.add("rollback" if error else "commit")


def claimed(cls: type[Job] | str, payload: str = "{}", **facts: Any) -> ClaimedJob:
    given: dict[str, Any] = {
        "id": "id-1",
        "name": cls if isinstance(cls, str) else cls.__goose_options__.name,
        "queue": "default",
        "payload": payload,
        "meta": None,
        "priority": 1,
        "attempt": 1,
        "failures": 0,
        "deaths": 0,
        "max_retries": 3,
        "timeout": None,
        "dispatched_at": NOW,
        "token": "token-1",
    }
    return ClaimedJob(**(given | facts))


@dataclass
class Bench:
    """A booted application with a runner over its jobs."""

    runner: Runner
    seen: Seen

    async def run(self, cls: type[Job] | str, payload: str = "{}", **facts: Any) -> Outcome:
        return await self.runner.run(claimed(cls, payload, **facts), RunControl())

    def begin(self, cls: type[Job], **facts: Any) -> tuple[asyncio.Task[Outcome], RunControl]:
        control = RunControl()
        return asyncio.create_task(self.runner.run(claimed(cls, **facts), control)), control


class NoReports:
    """Handlers here tell nothing."""

    async def progress(self, claimed: ClaimedJob, done: float, total: float | None, note: str) -> None: ...

    async def heartbeat(self, claimed: ClaimedJob) -> None: ...


@asynccontextmanager
async def bench(*jobs: type[Job], services: tuple[Any, ...] = (), **options: Any) -> AsyncIterator[Bench]:
    class App(Module):
        declarations = (*jobs, declare(Seen), declare(Unit, lifetime="scoped"), *services)
        implied = options.get("middleware", ())

    settings = Settings(**options)
    async with goose.running(goose.worker(App)) as kernel:
        registry = Registry(declared.cls for declared in kernel.declared(Job))
        runner = Runner(registry, prepare(kernel, settings), settings, lambda: "client", NoReports())
        try:
            yield Bench(runner, kernel.get(Seen))
        finally:
            runner.close()


def failure(outcome: Outcome) -> ErrorRecord:
    assert isinstance(outcome, Failed | Retry)
    return outcome.error


# --- the ordinary way


class Greet(Job):
    name: str

    async def handle(self, ctx: JobContext, seen: Seen, unit: Unit) -> str:
        assert ctx.get(Unit) is unit
        assert ctx.get("unit") is unit
        seen.add(ctx.job_name, ctx.attempt, self.name, ctx.client)
        return f"hello {self.name}"


class GreetInThread(Job):
    name: str

    def handle(self, ctx: JobContext, seen: Seen, unit: Unit) -> str:
        assert ctx.get(Unit) is unit
        assert current_scope() is not None
        seen.add(self.name, threading.current_thread() is not threading.main_thread())
        return anyio.from_thread.run(self.ask)

    async def ask(self) -> str:
        return f"hello {self.name}"


async def test_an_async_handler_gets_its_services_and_its_result_is_kept() -> None:
    async with bench(Greet) as b:
        assert await b.run(Greet, '{"name":"ann","unknown":1}') == Completed('"hello ann"')
        assert b.seen.events == [("Greet", 1, "ann", "client"), "commit"]


async def test_a_plain_handler_runs_in_a_thread_with_the_same_scope() -> None:
    async with bench(GreetInThread) as b:
        assert await b.run(GreetInThread, '{"name":"ann"}') == Completed('"hello ann"')
        assert b.seen.events == [("ann", True), "commit"]


class Nothing(Job):
    async def handle(self, ctx: JobContext) -> None: ...


class Indescribable(Job):
    async def handle(self, ctx: JobContext) -> object:
        return {"a": b"bytes"}


async def test_a_result_that_json_cannot_hold_is_dropped_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    note = "the result was dropped: $.a: bytes is not JSON; encode it yourself"
    async with bench(Nothing, Indescribable) as b:
        assert await b.run(Nothing) == Completed()
        assert await b.run(Indescribable) == Completed(None, note)

    assert [record.getMessage() for record in caplog.records] == [f"Indescribable id-1: {note}"]


class Wrapped(Job):
    """Its handler is a plain function that gives back a coroutine."""

    def handle(self, ctx: JobContext) -> Any:
        async def later() -> int:
            return 7

        return later()


async def test_a_plain_handler_may_give_back_something_to_await() -> None:
    async with bench(Wrapped) as b:
        assert await b.run(Wrapped) == Completed("7")


async def test_a_payload_that_does_not_fit_fails_for_good_and_the_handler_is_not_entered() -> None:
    async with bench(Greet) as b:
        outcome = await b.run(Greet, '{"nam":"ann"}')
        assert isinstance(outcome, Failed)
        assert outcome.error.message == (
            "the stored payload no longer fits Greet: $.name: Field required. Fix the class, then retry the job."
        )
        assert b.seen.events == []


async def test_a_job_that_nobody_registered_is_given_back() -> None:
    async with bench(Greet) as b:
        assert await b.run("os.system") == Released()


# --- failing


class Fails(Job, retry_delay=exponential(10)):
    error: ClassVar[Callable[[], BaseException]]

    async def handle(self, ctx: JobContext, unit: Unit) -> None:
        raise type(self).error()


class FailsInThread(Fails):
    def handle(self, ctx: JobContext, unit: Unit) -> None:  # type: ignore[override]
        raise type(self).error()


@pytest.mark.parametrize("cls", [Fails, FailsInThread])
async def test_an_error_is_followed_by_a_retry_while_one_is_left(cls: type[Fails]) -> None:
    cls.error = lambda: ValueError("no such order")
    async with bench(cls) as b:
        first = await b.run(cls)
        third = await b.run(cls, failures=2, attempt=5)
        last = await b.run(cls, failures=3)

    assert isinstance(first, Retry)
    assert isinstance(third, Retry)
    assert (first.delay, third.delay) == (10.0, 40.0)
    assert isinstance(last, Failed)
    assert (last.error.type, last.error.message) == ("ValueError", "no such order")
    assert "raise type(self).error()" in last.error.traceback
    assert b.seen.events == ["rollback"] * 3


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        RecursionError("deep"),
        ExceptionGroup("several", [ValueError()]),
        BaseExceptionGroup("several", [SystemExit()]),
    ],
)
@pytest.mark.parametrize("cls", [Fails, FailsInThread])
async def test_whatever_a_handler_raises_fails_the_job_and_not_the_worker(
    cls: type[Fails], error: BaseException
) -> None:
    cls.error = lambda: error
    async with bench(cls, Nothing) as b:
        outcome = await b.run(cls)
        assert failure(outcome).type == type(error).__name__
        assert b.seen.events == ["rollback"]
        assert await b.run(Nothing) == Completed()


async def test_log_lines_of_failures_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    Fails.error = lambda: ValueError("x\r\n2027 ERROR forged \x1b[31m token=hunter2")
    async with bench(Fails) as b:
        await b.run(Fails, failures=3)

    (record,) = caplog.records
    assert (
        record.getMessage()
        == "Fails id-1 failed for good: ValueError: x\\x0d\\x0a2027 ERROR forged \\x1b[31m token=***"
    )
    assert (record.levelno, record.job_name) == (logging.ERROR, "Fails")  # type: ignore[attr-defined]


class Commits:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        raise OSError("disk full")


class Writes(Job):
    async def handle(self, ctx: JobContext, commits: Commits) -> int:
        return 1


async def test_a_commit_that_fails_is_a_failed_attempt() -> None:
    async with bench(Writes, services=(declare(Commits, lifetime="scoped"),)) as b:
        assert failure(await b.run(Writes)).message == "disk full"


class Steered(Job):
    wanted: ClassVar[Any] = None
    retried: ClassVar[Any] = True
    failed: ClassVar[list[Any]] = []

    async def handle(self, ctx: JobContext) -> None:
        raise OSError("broken")

    def should_retry(self, error: Exception) -> bool:
        if isinstance(self.retried, BaseException):
            raise self.retried
        return bool(self.retried)

    def retry_after(self, attempt: int, error: Exception) -> Any:
        if isinstance(self.wanted, BaseException):
            raise self.wanted
        return attempt * 2 if self.wanted == "twice" else self.wanted

    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        self.failed.append(error)


@pytest.fixture
def steered() -> type[Steered]:
    Steered.wanted, Steered.retried = None, True
    Steered.failed.clear()
    return Steered


async def test_should_retry_may_end_it(steered: type[Steered]) -> None:
    steered.retried = False
    async with bench(steered) as b:
        assert isinstance(await b.run(steered), Failed)
    assert [type(error) for error in steered.failed] == [OSError]


@pytest.mark.parametrize(
    ("wanted", "delay"),
    [(None, 1.0), (7, 7.0), (timedelta(minutes=2), 120.0), ("twice", 8.0), (0, 0.1)],
)
async def test_retry_after_wins_over_the_backoff(steered: type[Steered], wanted: Any, delay: float) -> None:
    steered.wanted = wanted
    async with bench(steered) as b:
        outcome = await b.run(steered, attempt=4)
    assert isinstance(outcome, Retry)
    assert (outcome.delay, outcome.note) == (delay, None)


@pytest.mark.parametrize("wanted", [float("nan"), -1, "soon", True, 10**12])
async def test_a_retry_after_that_is_no_delay_is_replaced_and_noted(steered: type[Steered], wanted: Any) -> None:
    steered.wanted = wanted
    async with bench(steered) as b:
        outcome = await b.run(steered)
    assert isinstance(outcome, Retry)
    assert (outcome.delay, outcome.note) == (1.0, f"retry_after() returned {wanted!r}: the default delay was used")


@pytest.mark.parametrize("hook", ["should_retry", "retry_after"])
@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit("oops")])
async def test_a_hook_that_raises_fails_the_job(steered: type[Steered], hook: str, error: BaseException) -> None:
    setattr(steered, "retried" if hook == "should_retry" else "wanted", error)
    async with bench(steered) as b:
        outcome = await b.run(steered)
    assert isinstance(outcome, Failed)
    assert outcome.error.message == f"{hook}() raised {type(error).__name__}: oops, after OSError: broken"
    assert "OSError: broken" in outcome.error.traceback
    assert isinstance(steered.failed[0], HookFailed)


class Mourned(Job):
    async def handle(self, ctx: JobContext, unit: Unit) -> None:
        raise SystemExit(3)

    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        scope = ctx.get(Scope)
        assert ctx.get(Unit)
        ctx.get(Seen).add("mourned", type(error).__name__, str(error), scope is current_scope())


class MournedInThread(Job):
    def handle(self, ctx: JobContext) -> None:
        raise ValueError("x")

    def on_failure(self, ctx: JobContext, error: Exception) -> None:
        ctx.get(Seen).add("mourned", threading.current_thread() is not threading.main_thread())


class MournedBadly(Mourned):
    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        raise KeyboardInterrupt("no\nway")


async def test_on_failure_runs_in_a_scope_of_its_own_when_no_retry_is_left() -> None:
    async with bench(Mourned, MournedInThread) as b:
        assert isinstance(await b.run(Mourned), Retry)
        assert b.seen.events == ["rollback"]
        assert isinstance(await b.run(Mourned, failures=3), Failed)
        assert b.seen.events[1:] == [
            "rollback",
            ("mourned", "HandlerExited", "the handler raised SystemExit", True),
            "commit",
        ]
        assert isinstance(await b.run(MournedInThread, failures=3), Failed)
        assert b.seen.events[-1] == ("mourned", True)
    assert HandlerExited(SystemExit()).error is not None


async def test_an_error_of_on_failure_is_noted_and_harmless() -> None:
    async with bench(MournedBadly) as b:
        outcome = await b.run(MournedBadly, max_retries=0)
    assert isinstance(outcome, Failed)
    assert (outcome.error.type, outcome.note) == ("SystemExit", "on_failure() raised KeyboardInterrupt: no\\x0away")


async def test_a_job_whose_worker_died_for_good_runs_on_failure_alone() -> None:
    record = ErrorRecord("WorkerDied", "worker died 3 times", "")
    async with bench(Mourned) as b:
        assert await b.run(Mourned, failed_with=record) == Failed(record)
        assert b.seen.events == [("mourned", "WorkerDied", "worker died 3 times", True), "commit"]
        assert await b.run(Mourned, '{"zzz', failed_with=record) == Failed(record)
    assert isinstance(WorkerDied("x"), Exception)


class SlowToMourn(Job):
    begun: ClassVar[asyncio.Event] = asyncio.Event()

    async def handle(self, ctx: JobContext) -> None:
        raise ValueError("x")

    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        self.begun.set()
        await asyncio.Event().wait()


async def test_on_failure_is_bounded_by_the_timeout() -> None:
    async with bench(SlowToMourn) as b:
        outcome = await b.run(SlowToMourn, failures=3, timeout=0.01)
    assert isinstance(outcome, Failed)
    assert outcome.error.type == "ValueError"
    assert outcome.note == "on_failure() raised JobTimeout: SlowToMourn ran longer than its timeout of 0.01 s"


async def test_a_task_that_its_owner_cancels_during_on_failure_has_no_outcome() -> None:
    async with bench(SlowToMourn) as b:
        SlowToMourn.begun = asyncio.Event()
        run, _ = b.begin(SlowToMourn, max_retries=0)
        await SlowToMourn.begun.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_on_failure_that_a_shutdown_cuts_off_is_called_again_elsewhere() -> None:
    async with bench(SlowToMourn) as b:
        SlowToMourn.begun = asyncio.Event()
        run, control = b.begin(SlowToMourn, max_retries=0)
        await SlowToMourn.begun.wait()
        control.interrupt()
        outcome = await run
        SlowToMourn.begun.clear()
        assert isinstance(outcome, Doomed)
        assert outcome.error.type == "ValueError"
        run, control = b.begin(SlowToMourn, failed_with=outcome.error)
        await SlowToMourn.begun.wait()
        control.interrupt()
        assert await run == Released()


# --- signals


class Signals(Job):
    make: ClassVar[Callable[[JobContext], BaseException]]

    async def handle(self, ctx: JobContext, unit: Unit) -> None:
        raise type(self).make(ctx)

    def should_retry(self, error: Exception) -> bool:
        return False


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda ctx: ctx.snooze(30), Snoozed(delay=30.0)),
        (lambda ctx: ctx.snooze(FAR), Snoozed(until=FAR)),
        (lambda ctx: ctx.cancel("no such\norder"), Cancelled("no such\\x0aorder")),
    ],
)
async def test_a_handler_may_snooze_or_cancel_itself(make: Any, outcome: Outcome) -> None:
    Signals.make = make
    async with bench(Signals) as b:
        assert await b.run(Signals) == outcome
        assert b.seen.events == ["rollback"]


@pytest.mark.parametrize(("after", "delay"), [(timedelta(minutes=1), 60.0), (None, 1.0), (0, 0.1)])
async def test_a_handler_may_ask_for_a_retry_within_the_budget(after: Any, delay: float) -> None:
    Signals.make = lambda ctx: ctx.retry(after=after)
    async with bench(Signals) as b:
        outcome = await b.run(Signals)
        assert isinstance(outcome, Retry)
        assert (outcome.delay, outcome.error.message) == (delay, "the handler asked for a retry")
        assert isinstance(await b.run(Signals, failures=3), Failed)


# --- ends from outside


class Waits(Job):
    async def handle(self, ctx: JobContext, seen: Seen, unit: Unit) -> None:
        seen.running.set()
        await seen.never.wait()


class Swallows(Job):
    async def handle(self, ctx: JobContext, seen: Seen, unit: Unit) -> str:
        seen.running.set()
        with contextlib.suppress(asyncio.CancelledError):
            await seen.never.wait()
        return "came to its end"


class Converts(Job):
    async def handle(self, ctx: JobContext, seen: Seen, unit: Unit) -> None:
        seen.running.set()
        try:
            await seen.never.wait()
        except asyncio.CancelledError:
            raise OSError("connection lost") from None


@pytest.mark.parametrize("cls", [Waits, Swallows, Converts])
async def test_an_async_handler_that_runs_out_of_time_is_cancelled_and_rolled_back(cls: type[Job]) -> None:
    async with bench(cls) as b:
        outcome = await b.run(cls, timeout=0.02)
        assert (failure(outcome).type, failure(outcome).message) == (
            "JobTimeout",
            f"{cls.__name__} ran longer than its timeout of 0.02 s",
        )
        assert b.seen.events == ["rollback"]
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


@pytest.mark.parametrize("cls", [Waits, Swallows, Converts])
async def test_a_job_that_is_cancelled_while_it_runs_is_cancelled(cls: type[Job]) -> None:
    async with bench(cls) as b:
        run, control = b.begin(cls)
        await b.seen.running.wait()
        control.cancel("no\nmore")
        control.interrupt()
        assert await run == Cancelled("no\\x0amore")
        assert b.seen.events == ["rollback"]


@pytest.mark.parametrize(
    ("cls", "outcome"), [(Waits, Released()), (Converts, Released()), (Swallows, Completed('"came to its end"'))]
)
async def test_a_job_that_a_shutdown_interrupts_is_released_unless_it_came_to_its_end(
    cls: type[Job], outcome: Outcome
) -> None:
    async with bench(cls) as b:
        run, control = b.begin(cls)
        await b.seen.running.wait()
        control.interrupt()
        assert await run == outcome
        assert b.seen.events == ["commit" if isinstance(outcome, Completed) else "rollback"]


async def test_a_job_whose_lease_is_lost_stops_and_rolls_back() -> None:
    async with bench(Swallows) as b:
        run, control = b.begin(Swallows)
        await b.seen.running.wait()
        control.lease_lost()
        assert await run == Released()
        assert b.seen.events == ["rollback"]


async def test_what_comes_before_the_attempt_begins_keeps_it_from_beginning() -> None:
    async with bench(Waits) as b:
        control = RunControl()
        control.cancel("never mind")
        assert await b.runner.run(claimed(Waits), control) == Cancelled("never mind")
        control = RunControl()
        control.interrupt()
        assert await b.runner.run(claimed(Waits), control) == Released()
        assert b.seen.events == []


async def test_what_comes_after_the_attempt_has_ended_changes_nothing() -> None:
    async with bench(Nothing) as b:
        control = RunControl()
        assert await b.runner.run(claimed(Nothing), control) == Completed()
        control.cancel()
        control.interrupt()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)


class CancelsItself(Job):
    control: ClassVar[RunControl]

    async def handle(self, ctx: JobContext, unit: Unit) -> None:
        self.control.cancel("by my own hand")


async def test_a_cancellation_that_was_never_delivered_does_not_hit_the_rollback() -> None:
    async with bench(CancelsItself) as b:
        CancelsItself.control = RunControl()
        assert await b.runner.run(claimed(CancelsItself), CancelsItself.control) == Cancelled("by my own hand")
        assert b.seen.events == ["rollback"]
        await asyncio.sleep(0)


async def test_a_task_that_its_owner_cancels_has_no_outcome() -> None:
    async with bench(Waits, Mourned) as b:
        run, _ = b.begin(Waits)
        await b.seen.running.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert b.seen.events == ["rollback"]


class OwnTimeout(Job):
    async def handle(self, ctx: JobContext, seen: Seen) -> None:
        async with asyncio.timeout(0.01):
            await seen.never.wait()


async def test_a_handlers_own_timeout_is_its_own_error() -> None:
    async with bench(OwnTimeout) as b:
        assert failure(await b.run(OwnTimeout, timeout=30)).type == "TimeoutError"


class Stubborn(Job):
    async def handle(self, ctx: JobContext, seen: Seen) -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await seen.never.wait()


async def test_a_handler_that_swallows_its_end_is_overdue_and_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goose_queues.control.OVERDUE_AFTER", 0.01)
    monkeypatch.setattr("goose_queues.control.STRIKE_AGAIN", 0.01)
    told: list[bool] = []
    async with bench(Stubborn) as b:
        control = RunControl(lambda: told.append(control.overdue))
        assert failure(await b.runner.run(claimed(Stubborn, timeout=0.01), control)).type == "JobTimeout"
        assert told == [True]
        assert control.overdue is False


# --- threads from outside


class Spins(Job):
    def handle(self, ctx: JobContext, seen: Seen, unit: Unit) -> None:
        seen.in_thread.set()
        try:
            while True:
                time.monotonic()
        except (JobTimeout, JobCancelled) as error:
            seen.add(type(error).__name__)
            raise


class Blocks(Job):
    def handle(self, ctx: JobContext, seen: Seen, unit: Unit) -> None:
        seen.in_thread.set()
        seen.go.wait(60)


async def test_a_thread_that_runs_out_of_time_gets_the_timeout_raised_inside() -> None:
    async with bench(Spins) as b:
        outcome = await b.run(Spins, timeout=0.02)
        assert failure(outcome).message == "Spins ran longer than its timeout of 0.02 s"
        assert "in handle" in failure(outcome).traceback
        assert b.seen.events == ["JobTimeout", "rollback"]


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (lambda control: control.cancel("stop"), Cancelled("stop")),
        (lambda control: control.interrupt(), Released()),
        (lambda control: control.lease_lost(), Released()),
    ],
)
async def test_a_thread_that_is_ended_gets_the_cancellation_raised_inside(end: Any, outcome: Outcome) -> None:
    async with bench(Spins) as b:
        run, control = b.begin(Spins)
        await wait_until(b.seen.in_thread.is_set)
        end(control)
        assert await run == outcome
        assert b.seen.events == ["JobCancelled", "rollback"]


async def test_a_thread_that_does_not_end_is_overdue_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goose_queues.control.OVERDUE_AFTER", 0.01)
    late = asyncio.Event()
    async with bench(Blocks, Nothing) as b:
        control = RunControl(late.set)
        # Long enough for the thread to be in the handler by then.
        run = asyncio.create_task(b.runner.run(claimed(Blocks, timeout=0.5), control))
        await late.wait()
        assert control.overdue
        assert not run.done()
        assert await b.run(Nothing) == Completed()
        b.seen.go.set()
        assert failure(await run).type == "JobTimeout"
        assert not control.overdue
        assert b.seen.events == ["rollback"]


async def test_a_thread_is_waited_for_when_its_task_is_cancelled() -> None:
    async with bench(Spins) as b:
        run, _ = b.begin(Spins)
        await wait_until(b.seen.in_thread.is_set)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert b.seen.events == ["rollback"]


async def test_a_second_cancellation_leaves_the_thread_behind() -> None:
    async with bench(Blocks) as b:
        run, _ = b.begin(Blocks)
        await wait_until(b.seen.in_thread.is_set)
        for _ in range(2):
            run.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await run
        b.seen.go.set()


# --- middleware


@dataclass
class Outer(JobMiddleware):
    seen: Seen

    async def handle(self, ctx: JobContext, next: Next) -> object:
        self.seen.add("outer in")
        try:
            return await next()
        finally:
            self.seen.add("outer out")


@dataclass
class Inner(JobMiddleware):
    seen: Seen
    unit: Unit

    async def handle(self, ctx: JobContext, next: Next) -> object:
        self.seen.add("inner in", self.unit is ctx.get(Unit))
        result = await next()
        self.seen.add("inner out", result)
        return f"{result}!"


class Forgets(JobMiddleware):
    async def handle(self, ctx: JobContext, next: Next) -> object:
        return None


class Twice(JobMiddleware):
    async def handle(self, ctx: JobContext, next: Next) -> object:
        await next()
        return await next()


class Impatient(JobMiddleware):
    async def handle(self, ctx: JobContext, next: Next) -> object:
        async with asyncio.timeout(0.02):
            return await next()


class Sleepy(JobMiddleware):
    async def handle(self, ctx: JobContext, next: Next) -> object:
        raise ctx.snooze(60)


class Layered(Job, middleware=(Inner,)):
    async def handle(self, ctx: JobContext, seen: Seen) -> str:
        seen.add("handle")
        return "done"


async def test_middleware_of_the_module_is_outermost_then_that_of_the_class() -> None:
    async with bench(Layered, middleware=(Outer,)) as b:
        assert await b.run(Layered) == Completed('"done!"')
        assert b.seen.events == ["outer in", ("inner in", True), "handle", ("inner out", "done"), "outer out", "commit"]


class LayeredForgetful(Job, middleware=(Forgets,)):
    async def handle(self, ctx: JobContext, seen: Seen) -> None:
        seen.add("handle")


class LayeredTwice(Job, middleware=(Twice,)):
    async def handle(self, ctx: JobContext, seen: Seen) -> None:
        seen.add("handle")


class LayeredSleepy(LayeredTwice, middleware=(Sleepy,)): ...


class LayeredImpatient(Job, middleware=(Impatient,)):
    def handle(self, ctx: JobContext, seen: Seen) -> None:
        while True:
            time.monotonic()


async def test_without_next_the_job_counts_as_completed_and_the_log_names_the_middleware(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench(LayeredForgetful) as b:
        with caplog.at_level(logging.INFO, "goose_queues.job"):
            assert await b.run(LayeredForgetful) == Completed()
        assert b.seen.events == []

    assert caplog.records[0].getMessage() == "Forgets ended the job without calling next()"


async def test_a_second_next_fails_the_job() -> None:
    async with bench(LayeredTwice) as b:
        error = failure(await b.run(LayeredTwice))
        assert (error.type, error.message) == ("RuntimeError", "next() was already called")
        assert b.seen.events == ["handle"]


async def test_a_middleware_may_snooze() -> None:
    async with bench(LayeredSleepy) as b:
        assert await b.run(LayeredSleepy) == Snoozed(delay=60.0)


async def test_a_middlewares_own_timeout_ends_a_thread_too() -> None:
    async with bench(LayeredImpatient) as b:
        assert failure(await b.run(LayeredImpatient)).type == "TimeoutError"


class NoMiddleware:
    def handle(self, ctx: JobContext, next: Next) -> object:
        return next()


class BadlyLayered(Job, middleware=(NoMiddleware,)):  # type: ignore[arg-type]
    async def handle(self, ctx: JobContext) -> None: ...


async def test_a_middleware_that_is_none_is_refused_at_boot() -> None:
    with pytest.raises(ConfigError) as caught:
        async with bench(BadlyLayered):
            pass

    assert str(caught.value) == (
        "NoMiddleware: a middleware is derived from JobMiddleware and has an async def handle()"
    )


# --- injection


@dataclass
class Connection:
    opened: list[str]


async def connect() -> AsyncIterator[Connection]:
    await asyncio.sleep(0)
    made = Connection(["open"])
    yield made
    made.opened.append("closed")


class UsesConnection(Job):
    kept: ClassVar[list[Connection]] = []

    async def handle(self, ctx: JobContext, connection: Connection) -> None:
        assert connection.opened == ["open"]
        self.kept.append(connection)


async def test_services_that_async_code_builds_live_as_long_as_the_attempt() -> None:
    async with bench(UsesConnection, services=(declare(Connection, factory=connect, lifetime="scoped"),)) as b:
        assert await b.run(UsesConnection) == Completed()
        assert await b.run(UsesConnection) == Completed()
    assert [connection.opened for connection in UsesConnection.kept] == [["open", "closed"]] * 2
    assert UsesConnection.kept[0] is not UsesConnection.kept[1]
