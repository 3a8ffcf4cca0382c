"""Give one claimed job to its handler and say what became of it. Touches no store.

Called by ``worker``, and by ``testing``; the outcome goes to ``Store.settle``.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import partial
from inspect import isawaitable
from typing import Any, Final, Protocol, TypeAlias

from goose import Scope
from goose_queues import payload
from goose_queues.backoff import SHORTEST
from goose_queues.config import Settings
from goose_queues.context import JobContext, Reports, job_facts
from goose_queues.control import RunControl, Stopped
from goose_queues.errors import HandlerExited, HookFailed, JobFailed, PayloadMismatch, WorkerDied
from goose_queues.failure import record_error, say
from goose_queues.job import Job
from goose_queues.middleware import fold
from goose_queues.pausing import reached
from goose_queues.prepared import Prepared, PreparedJob
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
from goose_queues.redact import one_line
from goose_queues.registry import Registry
from goose_queues.signals import CancelSignal, RetrySignal, SnoozeSignal
from goose_queues.threads import HandlerThreads, ThreadCall
from goose_queues.values import MAX_DELAY

LOGGER: Final = logging.getLogger("goose_queues.runner")

Body: TypeAlias = Callable[["Attempt", JobContext, Scope], Awaitable[object]]


class Elsewhere(Protocol):
    """Runs attempts in other processes; its owner made it, and ends it."""

    def run(self, claimed: ClaimedJob, control: RunControl) -> Coroutine[Any, Any, Outcome]:
        """Run one attempt and say what became of it, as ``Runner.run`` does."""
        ...


class Attempt:
    """One claimed job on its way through the runner."""

    __slots__ = ("claimed", "control", "job", "prepared")

    def __init__(self, claimed: ClaimedJob, prepared: PreparedJob, job: Job, control: RunControl) -> None:
        self.claimed = claimed
        self.prepared = prepared
        self.job = job
        self.control = control


class Runner:
    """Runs claimed jobs, any number at once, each in the task that calls it: one task for each job.

    Args:
        registry: Which class a stored name means.
        prepared: What each class needs.
        settings: The size limit of results.
        client: Gives the client that a handler sees as ``ctx.client``.
        reports: Takes what a handler tells by ``ctx.progress`` and ``ctx.heartbeat``.
        elsewhere: Runs the attempts of isolated classes; None: they run here as the others do.
    """

    def __init__(
        self,
        registry: Registry,
        prepared: Prepared,
        settings: Settings,
        client: Callable[[], Any],
        reports: Reports,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._registry = registry
        self._prepared = prepared
        self._settings = settings
        self._client = client
        self._reports = reports
        self._elsewhere = elsewhere
        self._threads = HandlerThreads()

    def run(self, claimed: ClaimedJob, control: RunControl) -> Coroutine[Any, Any, Outcome]:
        """Run one attempt, where its class is to run, and say what became of it.

        Raises:
            CancelledError: The task was cancelled by others than ``control``; there is no outcome.
        """
        if self._elsewhere is not None and self._is_isolated(claimed):
            return self._elsewhere.run(claimed, control)
        return self.run_here(claimed, control)

    async def run_here(self, claimed: ClaimedJob, control: RunControl) -> Outcome:
        """Run one attempt in this process, whatever its class says; what a child process does, and a drain.

        Raises:
            CancelledError: As for ``run``.
        """
        attempt = self._begin(claimed, control)
        if not isinstance(attempt, Attempt):
            return attempt
        if claimed.failed_with is not None:
            return await self._told(attempt, claimed.failed_with, _failure_of(claimed, claimed.failed_with))
        try:
            value = await self._in_scope(attempt, self._handle)
        except BaseException as error:
            if _is_end_of_task(error):
                raise
            reached("handler.returned")
            return await self._verdict(attempt, error)
        reached("handler.returned")
        return self._completed(claimed, value)

    async def judge(self, claimed: ClaimedJob, error: Exception, control: RunControl) -> Outcome:
        """Say what follows an attempt that could not say so itself, as the process in which it ran has ended.

        Raises:
            CancelledError: As for ``run``.
        """
        attempt = self._begin(claimed, control)
        return await self._failed(attempt, error) if isinstance(attempt, Attempt) else attempt

    def close(self) -> None:
        """Let go of the handlers' threads; those that still run end when they are done."""
        self._threads.close()

    def _is_isolated(self, claimed: ClaimedJob) -> bool:
        cls = self._registry.by_name(claimed.name)
        return cls is not None and self._prepared.jobs[cls].isolated

    def _begin(self, claimed: ClaimedJob, control: RunControl) -> Attempt | Released | Failed:
        """The attempt, ready for user code; or its outcome, where that is not to be entered."""
        cls = self._registry.by_name(claimed.name)
        if cls is None:
            return Released()  # Never complete or discard what we do not know.
        try:
            job = payload.decode(cls, claimed.payload)
        except PayloadMismatch as error:
            self._log(logging.ERROR, "%s failed: %s", claimed, one_line(str(error)))
            return Failed(claimed.failed_with or record_error(error))
        return Attempt(claimed, self._prepared.jobs[cls], job, control)

    # --- user code

    async def _in_scope(self, attempt: Attempt, body: Body) -> object:
        """Run user code in a scope of its own, which has closed (and its unit of work committed) on return."""
        claimed, control = attempt.claimed, attempt.control
        async with self._prepared.scope() as scope:
            ctx = JobContext(
                claimed,
                attempt.job,
                find=partial(_find, attempt.prepared.find, scope),
                client=self._client,
                reports=self._reports,
            )
            control.arm(claimed.timeout)
            try:
                value = await body(attempt, ctx, scope)
            except BaseException as error:
                if _is_end_of_task(error) and not control.is_ours():
                    await control.disarm(error, claimed.name, claimed.timeout)
                    raise
                ended = await control.disarm(error, claimed.name, claimed.timeout)
                if ended is error or ended is None:
                    raise
                raise ended from error
            ended = await control.disarm(None, claimed.name, claimed.timeout)
            if ended is not None:
                raise ended
        return value

    async def _handle(self, attempt: Attempt, ctx: JobContext, scope: Scope) -> object:
        prepared = attempt.prepared
        if not prepared.middleware:
            return await self._enter(attempt, ctx, scope)
        middleware = [r.get(scope) if not r.is_async else await r.build(scope) for r in prepared.middleware]
        return await fold(middleware, ctx, partial(self._enter, attempt, ctx, scope))()

    async def _enter(self, attempt: Attempt, ctx: JobContext, scope: Scope) -> object:
        resolver = attempt.prepared.arguments
        arguments: dict[str, Any] = {}
        if resolver is not None:
            arguments = await resolver.build(scope) if resolver.is_async else resolver.get(scope)
        if attempt.prepared.is_async:
            return await attempt.job.handle(ctx, **arguments)
        return await self._in_thread(attempt.control, partial(attempt.job.handle, ctx, **arguments))

    async def _in_thread(self, control: RunControl, function: Callable[[], Any]) -> object:
        call = ThreadCall(function)
        control.enter_thread(call)
        self._threads.start(call)
        try:
            await asyncio.shield(call.done)
        except asyncio.CancelledError:
            # A middleware's own timeout, or the end of the task: the thread is told, and waited for.
            call.interrupt(asyncio.CancelledError)
            await asyncio.shield(call.done)
            raise
        finally:
            control.leave_thread()
        value = call.result()
        return await value if isawaitable(value) else value

    async def _told(self, attempt: Attempt, record: ErrorRecord, error: Exception) -> Failed | Doomed | Released:
        """Call ``on_failure`` of a job that has failed for good; with a note where that failed itself, which changes nothing.

        Where the process stops meanwhile, it is to be called again.
        """
        attempt.control.has_failed(record)
        if not attempt.prepared.on_failure:
            return Failed(record)
        try:
            await self._in_scope(attempt, partial(self._on_failure, error))
        except BaseException as failure:
            if _is_end_of_task(failure):
                raise
            if isinstance(failure, Stopped) and failure.reason == "interrupted":
                return Doomed(record) if attempt.claimed.failed_with is None else Released()
            self._log(logging.ERROR, "on_failure() of %s raised %s", attempt.claimed, one_line(say(failure)))
            return Failed(record, one_line(f"on_failure() raised {say(failure)}"))
        return Failed(record)

    async def _on_failure(self, error: Exception, attempt: Attempt, ctx: JobContext, scope: Scope) -> object:
        del scope
        if attempt.prepared.on_failure_is_async:
            return await attempt.job.on_failure(ctx, error)
        return await self._in_thread(attempt.control, partial(attempt.job.on_failure, ctx, error))

    # --- verdicts

    def _completed(self, claimed: ClaimedJob, value: object) -> Completed:
        if value is None:
            return _DONE
        text, note = payload.encode_result(value, self._settings.max_payload_size)
        if note is not None:
            self._log(logging.WARNING, "%s: %s", claimed, note)
        return Completed(text, note)

    async def _verdict(self, attempt: Attempt, error: BaseException) -> Outcome:
        match error:
            case Stopped(reason="cancelled"):
                return Cancelled(one_line(error.text))
            case Stopped():
                return Released()
            case SnoozeSignal():
                return Snoozed(error.delay, error.until)
            case CancelSignal():
                return Cancelled(one_line(error.reason))
            case _:
                return await self._failed(attempt, error)

    async def _failed(self, attempt: Attempt, error: BaseException) -> Retry | Failed | Doomed | Released:
        claimed, shown = attempt.claimed, error if isinstance(error, Exception) else HandlerExited(error)
        if claimed.failures < claimed.max_retries:
            try:
                retry = self._retry(attempt, error, shown)
            except HookFailed as failure:
                error = shown = failure
                retry = None
            if retry is not None:
                self._log(logging.WARNING, "%s failed, next attempt in %.1f s: %s", claimed, retry.delay, _line(error))
                return retry
        self._log(logging.ERROR, "%s failed for good: %s", claimed, _line(error))
        return await self._told(attempt, record_error(error), shown)

    def _retry(self, attempt: Attempt, error: BaseException, shown: Exception) -> Retry | None:
        prepared, failures = attempt.prepared, attempt.claimed.failures + 1
        if isinstance(error, RetrySignal):
            wait = prepared.retry_delay.delay(failures) if error.after is None else max(error.after, SHORTEST)
            return Retry(wait, record_error(error))
        if prepared.decides_retry and not _ask("should_retry", attempt.job.should_retry, error, shown):
            return None
        note = None
        if prepared.decides_delay:
            wanted = _ask("retry_after", partial(attempt.job.retry_after, attempt.claimed.attempt), error, shown)
            wait_or_none = _seconds(wanted)
            if wait_or_none is not None:
                return Retry(wait_or_none, record_error(error))
            if wanted is not None:
                note = one_line(f"retry_after() returned {_repr(wanted)}: the default delay was used")
        return Retry(prepared.retry_delay.delay(failures), record_error(error), note)

    def _log(self, level: int, text: str, claimed: ClaimedJob, *facts: object) -> None:
        LOGGER.log(level, text, one_line(f"{claimed.name} {claimed.id}"), *facts, extra=job_facts(claimed))


_DONE: Final = Completed()


def _failure_of(claimed: ClaimedJob, record: ErrorRecord) -> Exception:
    """What ``on_failure`` gets of a job that failed in another process."""
    if record.type == WorkerDied.__name__:
        return WorkerDied(record.message)
    return JobFailed(claimed.id, claimed.name, record.type, record.message, record.traceback)


def _find(find: Callable[[Any, Scope], Any], scope: Scope, key: Any) -> Any:
    return find(key, scope)


def _is_end_of_task(error: BaseException) -> bool:
    """Whether the task itself is being ended from outside, so that there is nothing to decide any more."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    if isinstance(error, GeneratorExit):
        return _is_closed()
    return False


def _is_closed() -> bool:
    """Whether this coroutine is being closed, rather than run by its task."""
    try:
        return asyncio.current_task() is None
    except RuntimeError:
        return True


def _ask(hook: str, function: Callable[[Exception], Any], error: BaseException, shown: Exception) -> Any:
    try:
        return function(shown)
    except BaseException as failure:
        raise HookFailed(hook, failure, error) from failure


def _seconds(wanted: object) -> float | None:
    """The delay that a user's ``retry_after`` asks for; None where that is no delay."""
    if isinstance(wanted, timedelta):
        wanted = wanted.total_seconds()
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return None
    if not math.isfinite(wanted) or not 0 <= wanted <= MAX_DELAY:
        return None
    return max(float(wanted), SHORTEST)


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a foreign object's repr
        return type(value).__name__


def _line(error: BaseException) -> str:
    return one_line(say(error))
