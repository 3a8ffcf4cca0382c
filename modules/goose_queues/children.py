"""Children: the child processes of one worker process, in which the attempts of isolated jobs run, one at a time in each.

``runner`` hands over the attempts of classes with ``isolation="process"``. Children are started when they are needed,
kept warm, replaced after a number of attempts, and ended with the application.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from goose_queues.context import job_facts
from goose_queues.control import RunControl
from goose_queues.errand import GRACE, Errand
from goose_queues.failure import record_error, say
from goose_queues.record import ClaimedJob, Doomed, Outcome, Released, Retry, Snoozed
from goose_queues.redact import one_line
from goose_queues.spawned import CannotBoot, Spawned, spawn
from goose_queues.wire import Hello, Judge, Order, Run

log = logging.getLogger("goose_queues.children")

RECYCLE_AFTER: Final = 100
"""Attempts after which a child is replaced, so that what handlers leak does not pile up."""
IDLE_LIMIT: Final = 60.0
"""Seconds after which a child that has nothing to do is ended."""
RETRY_FIRST: Final = 1.0
RETRY_LAST: Final = 60.0
"""Seconds before a child is started again after one could not boot: doubling from the first to the last."""


class Children:
    """At most as many child processes as attempts run at once; belongs to the event loop.

    Args:
        hello: Makes what a child is told at its start.
        retry_delay: The wait before the next attempt of a job whose own methods could not be asked.
    """

    def __init__(self, hello: Callable[[], Hello], retry_delay: Callable[[ClaimedJob], float]) -> None:
        self._hello = hello
        self._retry_delay = retry_delay
        self._pause = Pause()
        self._idle: dict[Spawned, asyncio.TimerHandle] = {}
        self._busy: set[Spawned] = set()
        self._starting: set[asyncio.Task[Spawned]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, claimed: ClaimedJob, control: RunControl) -> Outcome:
        """Run one attempt in a child and say what became of it.

        Raises:
            CancelledError: The task was cancelled by others than ``control``: there is no outcome, and the child that
                had the attempt is killed.
        """
        try:
            return await self._run(claimed, control)
        finally:
            control.over()

    async def aclose(self) -> None:
        """End every child: at once those that have an attempt, the others in order."""
        self._closed = True
        for task in self._starting:
            task.cancel()
        for child in self._busy:
            child.kill()
        for child in list(self._idle):
            self._dismiss(child)
        ending = [*self._starting, *self._leaving]
        if ending:
            await asyncio.wait(ending)

    # --- an attempt

    async def _run(self, claimed: ClaimedJob, control: RunControl) -> Outcome:
        try:
            errand, outcome = await self._carry_out(Run(claimed), control)
        except CannotBoot as error:
            return self._put_off(claimed, self._pause.left, f"no child process can run it: {error}")
        if outcome is None:
            return errand.verdict() or await self._judge(errand.judge(), control)
        if isinstance(outcome, Released) and errand.stopped is None:
            return self._put_off(claimed, RETRY_LAST, "its child process does not know it: restart this worker")
        return outcome

    async def _judge(self, order: Judge, control: RunControl) -> Outcome:
        """Have the job's own methods say what follows the end of its process; in another one."""
        try:
            errand, outcome = await self._carry_out(order, control)
        except CannotBoot as error:
            return self._unjudged(order, str(error))
        if outcome is not None:
            return outcome
        why = "the worker is stopping" if errand.stopped is not None else say(errand.judge().error())
        return errand.verdict() or self._unjudged(order, why)

    async def _carry_out(self, order: Order, control: RunControl) -> tuple[Errand, Outcome | None]:
        while True:
            errand = Errand(order)
            control.pass_on(errand.stop)
            child = await self._hire(errand, GRACE if isinstance(order, Judge) else 0)
            if child is None:
                return errand, None
            outcome = await self._lend(child, errand)
            if outcome is not None or errand.began or errand.stopped is not None or not child.orders:
                return errand, outcome
            # It died while it waited for orders, or of something else than this one: a new child will tell.

    async def _lend(self, child: Spawned, errand: Errand) -> Outcome | None:
        outcome: Outcome | None = None
        self._busy.add(child)
        try:
            outcome = await errand.run(child)
        finally:
            self._busy.discard(child)
            if outcome is None:
                await child.end()
            else:
                child.orders += 1
                self._keep(child)
        return outcome

    def _put_off(self, claimed: ClaimedJob, delay: float, why: str) -> Snoozed:
        """Nothing was run: the job comes back later, with its attempt refunded."""
        self._complain(claimed, f"is put off for {delay:.1f} s: {why}")
        return Snoozed(delay)

    def _unjudged(self, order: Judge, why: str) -> Retry | Doomed:
        """What follows by the number of retries alone; where none is left, another worker calls ``on_failure``."""
        claimed, error = order.claimed, order.error()
        if _may_retry(claimed):
            note = one_line(f"should_retry() was not asked: {why}")
            self._complain(claimed, f"failed: {say(error)}; {note}")
            return Retry(self._retry_delay(claimed), record_error(error), note)
        self._complain(claimed, f"failed: {say(error)}; on_failure() is still to be called: {why}")
        return Doomed(record_error(error))

    def _complain(self, claimed: ClaimedJob, text: str) -> None:
        log.error("%s %s", one_line(f"{claimed.name} {claimed.id}"), one_line(text), extra=job_facts(claimed))

    # --- the children

    async def _hire(self, errand: Errand, patience: float) -> Spawned | None:
        """A child for an errand, warm or new; None where ``patience`` seconds after it was told to stop there is none.

        Raises:
            CannotBoot: A new one cannot be had.
        """
        if errand.stopped is not None and not patience:
            return None
        while self._idle:
            child, timer = self._idle.popitem()
            timer.cancel()
            if child.alive:
                return child
            await child.end()
        told = asyncio.ensure_future(_told(errand, patience))
        try:
            await asyncio.wait([told], timeout=self._pause.left)
            return None if told.done() else await self._hire_new(told)
        finally:
            told.cancel()

    async def _hire_new(self, told: asyncio.Future[None]) -> Spawned | None:
        if self._closed:
            raise CannotBoot("the worker is stopping")
        starting = asyncio.get_running_loop().create_task(self._start(), name="goose-child-start")
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        either: list[asyncio.Future[Any]] = [starting, told]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            starting.add_done_callback(self._not_needed)
            raise
        if starting.cancelled():
            raise CannotBoot("the worker is stopping")
        if starting.done():
            return starting.result()
        starting.add_done_callback(self._not_needed)
        return None

    async def _start(self) -> Spawned:
        try:
            child = await spawn(self._hello())
        except CannotBoot:
            self._pause.lengthen()
            raise
        self._pause.end()
        return child

    def _not_needed(self, starting: asyncio.Task[Spawned]) -> None:
        """The attempt for which it was started does not wait for it any more: it is there for the next."""
        if starting.cancelled():
            return
        error = starting.exception()
        if error is None:
            self._keep(starting.result())
        else:
            log.error("no child process can run jobs: %s", one_line(str(error)))

    def _keep(self, child: Spawned) -> None:
        """It has nothing to do at present."""
        if self._closed or child.orders >= RECYCLE_AFTER:
            self._dismiss(child)
        else:
            self._idle[child] = asyncio.get_running_loop().call_later(IDLE_LIMIT, self._dismiss, child)

    def _dismiss(self, child: Spawned) -> None:
        timer = self._idle.pop(child, None)
        if timer is not None:
            timer.cancel()
        leaving = asyncio.get_running_loop().create_task(child.leave(), name="goose-child-leave")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


class Pause:
    """How long to wait before a child is started, after one could not boot."""

    def __init__(self) -> None:
        self._until = 0.0
        self._wait = 0.0

    @property
    def left(self) -> float:
        """Seconds from now."""
        return max(self._until - time.monotonic(), 0.0)

    def lengthen(self) -> None:
        """Another one could not boot; of several that were started together, only the first counts."""
        if not self.left:
            self._wait = min(self._wait * 2, RETRY_LAST) or RETRY_FIRST
            self._until = time.monotonic() + self._wait

    def end(self) -> None:
        """One has booted."""
        self._until = self._wait = 0.0


def _may_retry(claimed: ClaimedJob) -> bool:
    return claimed.failures < claimed.max_retries


async def _told(errand: Errand, patience: float) -> None:
    await errand.told.wait()
    await asyncio.sleep(patience)
