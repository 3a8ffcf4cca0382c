"""Process: one of several like processes as its parent sees it: started, listened to, ended.

Made and kept by ``keeper``. What runs in it is the same command line, which speaks through ``parent``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from goose.commands.processes.channel import Failed, Leaving, Place, Ready, State, unpack

LAST_WORDS: Final = 1.0
"""Seconds for what a process said to arrive after its end; something that it has forked may hold the channel open."""
_LONGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended."""

    number: int
    code: int
    """Negative for a signal."""
    up: float | None
    """Seconds that it was at work; None: it never was."""
    failed: Failed | None
    """What it gave as the reason."""

    @property
    def from_outside(self) -> bool:
        """Whether somebody else ended it, the system for one that was out of memory."""
        return -self.code in {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

    def __str__(self) -> str:
        if self.failed is not None:
            return self.failed.reason
        if self.code < 0:
            return f"killed by {_signal(-self.code)}"
        return f"exit code {self.code}"


class Process:
    """One process; belongs to the event loop on which it was started.

    It leads a process group of its own, so that a terminal's Ctrl-C does not reach it, and that what it has started is killed
    with it. It ends by itself when its end of the channel says that the parent is gone.
    """

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        channel: socket.socket,
        on_ready: Callable[[Process, str], None],
    ) -> None:
        self.number: Final = number
        self.state: Mapping[str, Any] = {}
        """What it last said of itself."""
        self.ready: Ready | None = None
        """Set once it is at work."""
        self.leaving: Leaving | None = None
        """Set when it ends by itself."""
        self._process = process
        self._on_ready = on_ready
        self._ready_since = 0.0
        self._failed: Failed | None = None
        self._news = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(channel), name=f"goose-process-{number}")
        self._ended = asyncio.create_task(self._end(channel), name=f"goose-process-{number}-end")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it is not known to have ended."""
        return not self._ended.done()

    @property
    def up(self) -> float | None:
        """Seconds that it has been at work; None: it never was."""
        return None if self.ready is None else time.monotonic() - self._ready_since

    @property
    def serves(self) -> bool:
        """Whether it is at work and means to stay."""
        return self.alive and self.ready is not None and self.leaving is None

    def stop(self) -> None:
        """Have it finish what runs and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, and whatever it has started in its process group."""
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def until_ready(self) -> bool:
        """Wait until it is at work, or has ended without having been."""
        while self.ready is None and self.alive:
            await self._something()
        return self.ready is not None

    async def until_leaving(self) -> Leaving | None:
        """Wait until it says that it leaves; None where it has ended without that."""
        while self.leaving is None and self.alive:
            await self._something()
        return self.leaving

    async def ended(self) -> Ending:
        """Wait for its end."""
        return await asyncio.shield(self._ended)

    async def _something(self) -> None:
        self._news.clear()
        said = asyncio.ensure_future(self._news.wait())
        await asyncio.wait((said, self._ended), return_when=asyncio.FIRST_COMPLETED)
        said.cancel()

    async def _listen(self, channel: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=channel, limit=_LONGEST)
        try:
            while line := await reader.readline():
                self._hear(line)
        except OSError:
            return
        finally:
            writer.close()

    def _hear(self, line: bytes) -> None:
        match unpack(line):
            case Ready() as ready:
                self.ready, self._ready_since = ready, time.monotonic()
                self._on_ready(self, ready.on)
            case State(facts):
                self.state = facts
            case Leaving() as leaving:
                self.leaving = leaving
            case Failed() as failed:
                self._failed = failed
        self._news.set()

    async def _end(self, channel: socket.socket) -> Ending:
        code = await self._process.wait()
        await asyncio.wait((self._listening,), timeout=LAST_WORDS)
        self._listening.cancel()
        await asyncio.wait((self._listening,))
        channel.close()
        return Ending(self.number, code, self.up, self._failed)

    def _signal(self, number: int) -> None:
        if self.alive:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


async def start(
    words: Sequence[str], number: int, turn: int, sockets: Sequence[int], on_ready: Callable[[Process, str], None]
) -> Process:
    """Start ``goose`` with these words as one of several processes; ``on_ready`` is called when it says that it is at work.

    Raises:
        OSError: The system starts no more.
    """
    ours, theirs = socket.socketpair()
    place = Place(number, theirs.fileno(), turn, tuple(sockets))
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "goose",
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(place.channel, place.turn, *place.sockets),
                start_new_session=True,
                env={**os.environ, **place.entry()},
            )
        except BaseException:
            ours.close()
            raise
    return Process(number, process, ours, on_ready)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
