"""Errand: one order to one child process, from when it is sent until its answer, or the end of the process, is there.

Made by ``children``. The timeout is kept here, on the parent's side, where nothing that a handler does can hold it up.
"""

from __future__ import annotations

import asyncio
from typing import Final

from goose_queues.control import Reason
from goose_queues.failure import say
from goose_queues.record import Cancelled, Doomed, ErrorRecord, Failed, Outcome, Released
from goose_queues.redact import one_line
from goose_queues.spawned import Spawned
from goose_queues.wire import Began, Done, Ended, Failing, Judge, Order, Run, Stop

GRACE: Final = 3.0
"""Seconds for a handler to end once it was told to; then its process is killed. Less than a shutdown waits for it."""


class Errand:
    """One order and what comes of it; ``stop`` may be called at any time."""

    def __init__(self, order: Order) -> None:
        self.stopped: Stop | None = None
        """What it was told, where it was told to stop."""
        self.told: Final = asyncio.Event()
        """Set with ``stopped``."""
        self.began = False
        """Whether user code was entered."""
        self._order = order
        self._child: Spawned | None = None
        self._timed_out = False
        self._exit_code: int | None = None
        self._failure: ErrorRecord | None = None
        self._time: asyncio.Handle | None = None
        self._grace: asyncio.Handle | None = None
        self._telling: asyncio.Task[None] | None = None

    def stop(self, reason: Reason, text: str) -> None:
        """End the attempt: with a chance to clean up, unless its lease is lost."""
        self.stopped = Stop(reason, text)
        self.told.set()
        if self._child is not None:
            self._pass_on(self.stopped, self._child)

    async def run(self, child: Spawned) -> Outcome | None:
        """Send the order and wait for the answer; None where the process has ended without one."""
        try:
            outcome = await self._converse(child)
            if self._telling is not None:
                await self._telling
        except BaseException:
            child.kill()
            raise
        finally:
            self._child = None
            _cancel(self._time, self._grace)
        if outcome is None and not self._timed_out:
            self._exit_code = await child.ended()
        return outcome

    def verdict(self) -> Outcome | None:
        """What the end of the process means, if nobody has to be asked; None: the job's own methods are to judge."""
        if self._failure is not None and self.stopped is not None and self.stopped.reason == "interrupted":
            return Doomed(self._failure) if self._order.claimed.failed_with is None else Released()
        if self._failure is not None:
            return Failed(self._failure, one_line(f"on_failure() raised {say(self.judge().error())}"))
        if self.stopped is None or self._timed_out or isinstance(self._order, Judge):
            return None
        return cut_short(self.stopped)

    def judge(self) -> Judge:
        """The order to judge the end of the process."""
        return Judge(self._order.claimed, self._exit_code)

    async def _converse(self, child: Spawned) -> Outcome | None:
        self._child = child
        await child.send(self._order)
        if self.stopped is not None and self._grace is None:
            self._pass_on(self.stopped, child)
        while (message := await child.receive()) is not None:
            match message:
                case Began():
                    self._begin(child)
                case Ended():
                    _cancel(self._time)
                case Failing(error):
                    self._failure = error
                case Done(outcome):
                    return outcome
        return None

    def _begin(self, child: Spawned) -> None:
        self.began = True
        limit = self._order.claimed.timeout
        if limit is not None:
            self._time = asyncio.get_running_loop().call_later(limit, self._time_seems_up, child)

    def _time_seems_up(self, child: Spawned) -> None:
        # Where something has held up this loop, word that the handler has ended in time may not have been read yet.
        self._time = asyncio.get_running_loop().call_soon(self._time_is_up, child)

    def _time_is_up(self, child: Spawned) -> None:
        if self.stopped is None:
            self._timed_out = True
            child.kill()

    def _pass_on(self, stop: Stop, child: Spawned) -> None:
        if stop.reason == "lease lost":
            child.kill()
            return
        loop = asyncio.get_running_loop()
        self._grace = loop.call_later(GRACE, child.kill)
        if isinstance(self._order, Run):
            self._telling = loop.create_task(child.send(stop))


def cut_short(stop: Stop) -> Cancelled | Released:
    """What becomes of an attempt that was told to stop and has no outcome of its own."""
    return Cancelled(one_line(stop.text)) if stop.reason == "cancelled" else Released()


def _cancel(*timers: asyncio.Handle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
