"""Deadline: one time limit for every handler of a platform, kept by a single timer. Used by ``router``.

All limits are equally long, so the oldest always ends first: a request costs an entry in a dict, not a timer.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from goose.http.errors import HandlerTimeout


class Deadlines:
    """The handlers that run now, and the timer of the oldest; belongs to one event loop.

    Args:
        seconds: How long each may take; None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._running: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deadline: Deadline) -> None:
        if self.seconds is None:
            return
        loop = asyncio.get_running_loop()
        deadline.ends_at = loop.time() + self.seconds
        self._running[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline.ends_at, self._ring, loop)

    def remove(self, deadline: Deadline) -> None:
        self._running.pop(deadline, None)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Expire what is overdue, and set the timer for the next; none where nothing runs."""
        self._timer = None
        now = loop.time()
        for deadline in list(self._running):
            if deadline.ends_at > now:
                self._timer = loop.call_at(deadline.ends_at, self._ring, loop)
                return
            del self._running[deadline]
            deadline.expire()


class Deadline:
    """The time limit of one handler: ``with Deadline(deadlines, name):`` cancels the task inside when it has passed.

    Raises:
        HandlerTimeout: It has passed.
    """

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_name", "_task", "ends_at")

    def __init__(self, deadlines: Deadlines, name: str) -> None:
        self._deadlines = deadlines
        self._name = name
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._expired = False
        self.ends_at = 0.0

    def __enter__(self) -> Self:
        self._task = task = asyncio.current_task()
        if task is not None:
            self._cancelling = task.cancelling()
            self._deadlines.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._deadlines.remove(self)
        if not self._expired or self._task is None:
            return
        # As asyncio.timeout does it: a cancellation from elsewhere at the same moment is not swallowed. Errors of a
        # handler's own clean-up are the time limit's as well.
        alone = self._task.uncancel() <= self._cancelling
        if kind is not None and (issubclass(kind, Exception) or (alone and kind is asyncio.CancelledError)):
            raise HandlerTimeout(self._name, self._deadlines.seconds or 0) from error

    def expire(self) -> None:
        """Cancel the task that runs inside; it leaves with ``HandlerTimeout``."""
        self._expired = True
        if self._task is not None:
            self._task.cancel()
