"""Spawned: one child process as its parent sees it: started, spoken to, ended.

Made and kept by ``children``; ``errand`` speaks through it. What runs in the process is ``child``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

from goose_queues.errors import QueueError
from goose_queues.wire import HEAD, Hello, Message, Quit, Ready, Refused, pack, unpack

BOOT_LIMIT: Final = 60.0
"""Seconds for a child to import and boot the application."""
LEAVE_LIMIT: Final = 5.0
"""Seconds for a child to shut the application down."""


class CannotBoot(QueueError):
    """No child process could be had; ``str()`` says why."""


class Spawned:
    """One child process; belongs to the event loop on which it was started.

    It leads a process group of its own, so that a terminal's Ctrl-C does not reach it, and that what its handlers have
    started is killed with it. It ends when its end of the channel says that the parent is gone.
    """

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._turn = asyncio.Lock()
        self._ended = asyncio.get_running_loop().create_task(self._watch(), name="goose-child-watch")
        self.orders = 0
        """How many it has had."""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it is not known to have ended."""
        return self._process.returncode is None

    async def send(self, message: Message) -> None:
        """Say something; that it has ended meanwhile is for ``receive`` to tell."""
        async with self._turn:
            with suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(self._channel, pack(message))

    async def receive(self) -> Message | None:
        """What it says next; None where it has ended."""
        head = await self._read(HEAD.size)
        text = None if head is None else await self._read(*HEAD.unpack(head))
        return None if text is None else unpack(text)

    def kill(self) -> None:
        """End it at once, and whatever it has started in its process group."""
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        return await asyncio.shield(self._ended)

    async def leave(self) -> None:
        """Have it shut its application down and end; killed where that takes too long."""
        await self.send(Quit())
        await asyncio.wait([self._ended], timeout=LEAVE_LIMIT)
        await self.end()

    async def end(self) -> int:
        """Kill it unless it has ended, and let go of the channel; the exit code."""
        self.kill()
        code = await self.ended()
        self._channel.close()
        return code

    async def _read(self, size: int) -> bytes | None:
        parts: list[bytes] = []
        while size:
            try:
                part = await asyncio.get_running_loop().sock_recv(self._channel, min(size, 1 << 18))
            except OSError:
                part = b""
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    async def _watch(self) -> int:
        code = await self._process.wait()
        # A process that a handler has forked may hold the other end open: what has been said is read, then it is over.
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RD)
        return code


async def spawn(hello: Hello) -> Spawned:
    """Start a child process that has booted the application.

    Raises:
        CannotBoot: It cannot be started, or not boot the application.
    """
    child = await _start(hello)
    try:
        async with asyncio.timeout(BOOT_LIMIT):
            await child.send(hello)
            answer = await child.receive()
    except TimeoutError:
        await child.end()
        raise CannotBoot(f"it did not boot within {BOOT_LIMIT:g} s") from None
    except BaseException:
        await child.end()
        raise
    if isinstance(answer, Ready):
        return child
    code = await child.end()
    raise CannotBoot(answer.reason if isinstance(answer, Refused) else f"it ended with exit code {code}")


async def _start(hello: Hello) -> Spawned:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "goose_queues.child",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(hello.path)},
            )
        except OSError as error:
            ours.close()
            raise CannotBoot(f"it could not be started: {error}") from error
        except BaseException:
            ours.close()
            raise
    return Spawned(process, ours)
