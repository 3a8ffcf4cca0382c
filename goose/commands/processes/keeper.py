"""Keeper: starts several like processes, replaces those that end, and stops them all in order.

The parent's side of ``goose run --workers`` and ``goose queue work --processes``. It loads no application and does no work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from goose.commands.errors import CommandError
from goose.commands.processes.channel import Leaving
from goose.commands.processes.process import Ending, Process, start
from goose.commands.processes.restarts import GIVE_UP, SOON, Pause
from goose.log import complain, shared, shown
from goose.serving import stop_signals

log = logging.getLogger("goose.processes")

STATE_EVERY: Final = 30.0
"""Seconds between two lines of the log that say how each process stands."""
_FOR_PROGRAMS: Final = frozenset({"started", "ended", "state"})
"""Events that people are told of only with ``--debug``: what they want to know of them is said otherwise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be kept running."""

    words: Sequence[str]
    """What follows ``goose`` on the command line."""
    count: int
    sockets: Sequence[int] = ()
    """Descriptors that each process gets."""
    notice: str = ""
    """Said once, when the first process is at work."""


def keep(plan: Plan) -> None:
    """Keep so many processes running until a signal, or until all have ended by themselves.

    The first SIGINT or SIGTERM has them finish what runs, a second ends all of them at once.

    Raises:
        CommandError: This system has no such processes.
        SystemExit: None could be started, or one did not end well; the reason has been said in one line.
    """
    if os.name != "posix":
        raise CommandError("several processes need Linux, macOS or another Unix: start the command several times")
    with shared() as turn:
        code = asyncio.run(Keeper(plan, turn).run())
    if code:
        sys.exit(code)


class Keeper:
    """The processes of one command; belongs to the event loop.

    Args:
        plan: What is to be kept running.
        turn: The descriptor whose lock keeps lines of the log apart.
    """

    def __init__(self, plan: Plan, turn: int) -> None:
        self._plan = plan
        self._turn = turn
        self._stopping = asyncio.Event()
        self._live: set[Process] = set()
        self._door = asyncio.Lock()
        self._cautious = True
        """Whether one alone is started: if it cannot, the others could not either."""
        self._failures = Pause()
        """Of those that were started alone."""
        self._begun = False
        self._verdict: tuple[str, int] | None = None
        """Why the command ends with an exit code, and with which."""

    async def run(self) -> int:
        """Keep them running; the exit code."""
        with stop_signals(self._stopping, again=self._end_now):
            helping = [asyncio.create_task(work) for work in (self._pass_stop_on(), self._tell_states())]
            try:
                await asyncio.gather(*(self._occupy(number) for number in range(1, self._plan.count + 1)))
            finally:
                for task in helping:
                    task.cancel()
        if self._verdict is None:
            return 0
        reason, code = self._verdict
        complain(reason)
        return code

    # --- one process after the other

    async def _occupy(self, number: int) -> None:
        """See that there is a process of this number, until it is done or all are to stop."""
        pause = Pause()
        before: asyncio.Task[Ending] | None = None
        while (process := await self._next(number)) is not None:
            leaving = await process.until_leaving()
            if leaving is None:
                await self._died(await self._see_off(process), pause)
            elif leaving.successor == "none":
                await self._see_off(process)
                break
            else:
                # At most two of a number at a time: one that finishes what runs, and the one that follows it.
                if before is not None:
                    await before
                before = asyncio.create_task(self._see_off(process), name=f"goose-process-{number}-before")
                await self._recycled(process, leaving, pause)
        if before is not None:
            await before

    async def _next(self, number: int) -> Process | None:
        """The next process of this number; None where there is to be none."""
        async with self._door:
            while not self._stopping.is_set():
                process = await self._start(number)
                if process is None:
                    await self._sleep(self._failures.after(None))
                elif not self._cautious or await process.until_ready() or (await process.ended()).from_outside:
                    return process
                else:
                    await self._failed(await self._see_off(process))
        return None

    async def _start(self, number: int) -> Process | None:
        try:
            process = await start(self._plan.words, number, self._turn, self._plan.sockets, self._is_ready)
        except OSError as error:
            log.warning("the system starts no process: %s", error)
            return None
        self._live.add(process)
        self._tell(process, "started")
        if self._stopping.is_set():
            process.stop()
        return process

    async def _see_off(self, process: Process) -> Ending:
        ending = await process.ended()
        self._live.discard(process)
        self._tell(process, "ended", str(ending))
        reason = f"process {process.number} did not stop in order: {ending}"
        match process.leaving:
            case _ if not ending.code or ending.up is None:
                pass
            case Leaving(successor="at once" | "not too often"):
                log.warning("%s", reason, extra={"number": process.number, "reason": str(ending)})
            case None if not self._stopping.is_set():
                pass  # It has died: the next one is told of with the reason.
            case _:
                self._verdict = self._verdict or (reason, 1)
        return ending

    async def _failed(self, ending: Ending) -> None:
        """One that was started alone could not start."""
        if self._stopping.is_set():
            return
        wait = self._failures.after(None)
        if not self._begun:
            # As a single process would have said it: there is nothing to wait for.
            reason = ending.failed.reason if ending.failed else f"process {ending.number} could not start: {ending}"
            self._give_up(reason, ending.code or 1)
        elif self._failures.deaths >= GIVE_UP:
            self._give_up(f"no process could be started, {GIVE_UP} times in a row; the last time: {ending}", 1)
        else:
            await self._put_off(ending.number, "could not start, and no other is at work", str(ending), wait)

    async def _died(self, ending: Ending, pause: Pause) -> None:
        if not self._stopping.is_set():
            # A kill says nothing of what the next one would meet, and where kills are many, one alone would never get there.
            faulty = ending.up is None and not ending.from_outside
            self._cautious = faulty and not any(other.serves for other in self._live)
            what = "could not start" if ending.up is None else "has ended"
            await self._put_off(ending.number, what, str(ending), pause.after(ending.up, killed=ending.from_outside))

    async def _recycled(self, process: Process, leaving: Leaving, pause: Pause) -> None:
        self._tell(process, "recycled", leaving.reason)
        up = process.up or 0.0
        if leaving.successor == "not too often" and up < SOON and not self._stopping.is_set():
            what = f"was recycled after {up:.1f} s at work"
            await self._put_off(process.number, what, leaving.reason, pause.after(0.0))

    async def _put_off(self, number: int, what: str, reason: str, wait: float) -> None:
        facts = {"event": "restarting", "number": number, "reason": reason}
        log.warning("process %d %s: %s; another is started in %.1f s", number, what, reason, wait, extra=facts)
        await self._sleep(wait)

    def _give_up(self, reason: str, code: int) -> None:
        self._verdict = reason, code
        self._stopping.set()

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not on while all are to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    # --- what all are told, and what is told of them

    async def _pass_stop_on(self) -> None:
        await self._stopping.wait()
        if self._live:
            log.info("stopping: what runs is finished first")
        for process in self._live:
            process.stop()

    def _end_now(self, number: int) -> None:
        """In a signal's handler."""
        log.warning("a second signal: ending now")
        for process in list(self._live):
            process.kill()
        os._exit(128 + number)

    def _is_ready(self, process: Process, on: str) -> None:
        self._failures, self._cautious = Pause(), False
        self._tell(process, "ready", on)
        if not self._begun and self._plan.notice:
            log.info("%s", self._plan.notice)
        self._begun = True

    async def _tell_states(self) -> None:
        while True:
            await asyncio.sleep(STATE_EVERY)
            for process in sorted(self._live, key=lambda each: each.number):
                said = ", ".join(f"{name} {value}" for name, value in process.state.items()) or "nothing said yet"
                self._tell(process, "state", said, **process.state)

    def _tell(self, process: Process, event: str, text: str = "", **facts: Any) -> None:
        facts |= {"event": event, "number": process.number, "process_pid": process.pid, "reason": text}
        told = f"{event}: {text}" if text else event
        style = shown()
        for_people = style is None or not style.as_json
        level = logging.DEBUG if for_people and event in _FOR_PROGRAMS else logging.INFO
        log.log(level, "process %d (pid %d) %s", process.number, process.pid, told, extra=facts)
