"""The hold that a worker has on one running attempt: its deadline, its cancellation, its end.

Made by ``worker`` for each claimed job, armed and disarmed by ``runner`` around the user's code. Loop thread only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from goose_queues.errors import JobCancelled, JobTimeout
from goose_queues.record import ErrorRecord
from goose_queues.threads import ThreadCall

Reason: TypeAlias = Literal["timeout", "cancelled", "interrupted", "lease lost"]

OVERDUE_AFTER: Final = 1.0
"""Seconds that user code has to end once it was told to, before it counts as overdue."""
STRIKE_AGAIN: Final = 10.0
"""Seconds after which user code that swallowed the first exception gets another."""


class Stopped(Exception):
    """An attempt was ended from outside, not by its handler and not by its timeout."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        self.text = text
        super().__init__(text)


class RunControl:
    """Ends one running attempt when told to.

    What it is told before the attempt begins takes effect at once when it does; what it is told while the unit of work
    commits comes too late, so that a commit is never torn.

    Args:
        on_overdue: Called when the attempt should have ended and has not: its slot may be given a spare.
    """

    __slots__ = (
        "_again",
        "_call",
        "_cancels",
        "_elsewhere",
        "_handler",
        "_reason",
        "_state",
        "_task",
        "_text",
        "on_overdue",
        "overdue_since",
    )

    def __init__(self, on_overdue: Callable[[], None] | None = None) -> None:
        self.on_overdue = on_overdue
        self.overdue_since: float | None = None
        """``time.monotonic()`` when the attempt should have ended and had not; None again when it has."""
        self._state: Literal["new", "armed", "elsewhere", "done"] = "new"
        self._elsewhere: Callable[[Reason, str], None] | None = None
        self._reason: Reason | None = None
        self._text = ""
        self._task: asyncio.Task[object] | None = None
        self._call: ThreadCall | None = None
        self._cancels = 0
        self._handler: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None

    @property
    def overdue(self) -> bool:
        """Whether the attempt was told to end and has not."""
        return self.overdue_since is not None

    def cancel(self, reason: str = "cancelled by request") -> None:
        """A user's cancellation: the outcome is ``Cancelled``."""
        self._stop("cancelled", reason)

    def interrupt(self) -> None:
        """The process stops: the outcome is ``Released``, unless the attempt ends by itself all the same."""
        self._stop("interrupted", "the worker is stopping")

    def lease_lost(self) -> None:
        """Another worker may have the job: stop; the outcome no longer matters."""
        self._stop("lease lost", "the lease was lost")

    # --- the runner's part

    def arm(self, timeout: float | None) -> None:
        """From here on user code runs in the current task, for ``timeout`` seconds at most.

        Raises:
            Stopped: It was told to stop before it began.
        """
        if self._state == "new" and self._reason is not None:
            self._state = "done"
            raise Stopped(self._reason, self._text)
        self._task, self._state, self._reason, self._cancels = asyncio.current_task(), "armed", None, 0
        if timeout is not None:
            self._handler = asyncio.get_running_loop().call_later(timeout, self._stop, "timeout", "")

    async def disarm(self, error: BaseException | None, job: str, limit: float | None) -> BaseException | None:
        """User code has ended, with this error or without; what it ended with in truth, told from our own doing.

        A handler that returns although it ran out of time or was cancelled has not completed; one that returns
        although the process stops has.
        """
        self._state = "done"
        for timer in (self._handler, self._again):
            if timer is not None:
                timer.cancel()
        self._handler = self._again = None
        self.overdue_since = None
        if self._cancels:
            await self._take_back(error)
        self._task = None
        if self._reason is None or (error is None and self._reason == "interrupted"):
            return error
        if self._reason == "timeout":
            return JobTimeout(job, limit)
        return Stopped(self._reason, self._text)

    def enter_thread(self, call: ThreadCall) -> None:
        """User code goes on in a thread: what was to cancel the task is raised there."""
        self._call = call
        if self._reason is not None:
            call.interrupt(self._exception())

    def leave_thread(self) -> None:
        """It is back in the task."""
        self._call = None

    def has_failed(self, error: ErrorRecord) -> None:
        """The attempt has failed for good, and ``on_failure`` comes next; for whoever has to know before it has run."""

    def pass_on(self, stop: Callable[[Reason, str], None]) -> None:
        """The attempt runs in another process: what ends it is told to ``stop``, at once where it was told already."""
        self._state, self._elsewhere = "elsewhere", stop
        if self._reason is not None:
            stop(self._reason, self._text)

    def over(self) -> None:
        """It has its outcome from there."""
        self._state, self._elsewhere = "done", None

    def is_ours(self) -> bool:
        """Whether the current cancellation was asked for here, not by whoever owns the task."""
        task = asyncio.current_task()
        return task is None or task.cancelling() <= self._cancels

    def _stop(self, reason: Reason, text: str) -> None:
        if self._state == "done" or self._reason is not None:
            return
        self._reason, self._text = reason, text
        if self._state == "armed":
            self._strike()
            self._again = asyncio.get_running_loop().call_later(OVERDUE_AFTER, self._is_late)
        elif self._elsewhere is not None:
            self._elsewhere(reason, text)

    def _is_late(self) -> None:
        self.overdue_since = time.monotonic()
        self._again = asyncio.get_running_loop().call_later(STRIKE_AGAIN, self._strike_again)
        if self.on_overdue is not None:
            self.on_overdue()

    def _strike_again(self) -> None:
        self._strike()
        self._again = asyncio.get_running_loop().call_later(STRIKE_AGAIN, self._strike_again)

    def _strike(self) -> None:
        if self._call is not None:
            self._call.interrupt(self._exception())
        elif self._task is not None:
            self._cancels += 1
            self._task.cancel()

    def _exception(self) -> type[BaseException]:
        return JobTimeout if self._reason == "timeout" else JobCancelled

    async def _take_back(self, error: BaseException | None) -> None:
        """Undo our own cancellations of the task, so that what follows (the commit) is not hit by them."""
        task = self._task
        if task is None:
            return
        for _ in range(self._cancels):
            task.uncancel()
        self._cancels = 0
        if isinstance(error, asyncio.CancelledError):
            return
        try:
            # One that was asked for and not yet delivered lands here.
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if task.cancelling():
                raise
