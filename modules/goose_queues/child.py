"""Child: what runs in a child process: boots the application without its background work, then runs attempts in turn.

Started by ``spawned`` as ``python -m goose_queues.child FD``. It speaks with its parent over that descriptor alone, as
handlers may print, and it ends when the other end is closed: whatever its event loop does then, a thread sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

import goose
from goose.errors import GooseError
from goose.log import show
from goose.origin import Origin
from goose_queues.control import Reason, RunControl
from goose_queues.errors import QueueError
from goose_queues.failure import say
from goose_queues.record import ErrorRecord, Outcome
from goose_queues.runner import Runner
from goose_queues.supervisor import Supervisor
from goose_queues.wire import (
    HEAD,
    Began,
    Done,
    Ended,
    Failing,
    Hello,
    Judge,
    Message,
    Order,
    Quit,
    Ready,
    Refused,
    Run,
    Stop,
    pack,
    unpack,
)

log = logging.getLogger("goose_queues.child")

PR_SET_PDEATHSIG: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Serve the parent at the other end of a descriptor until it says ``Quit``; the exit code."""
    _leave_signals_to_the_parent()
    parent = Parent(socket.socket(fileno=int(arguments[0])))
    hello = parent.hear()
    if not isinstance(hello, Hello):
        return 1
    _take_over(hello)
    return asyncio.run(serve(parent, hello))


async def serve(parent: Parent, hello: Hello) -> int:
    """Boot the application and carry out orders; the exit code."""
    desk = Desk(parent)
    parent.listen(desk.put)
    async with contextlib.AsyncExitStack() as stack:
        try:
            instances = [_load(origin) for origin in hello.origins]
            if hello.log is not None:
                # Unless the application has seen to that when it was imported.
                show(hello.log)
            kernel = await stack.enter_async_context(goose.running(*instances))
            runner = kernel.get(Supervisor).runner
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
            parent.say(Refused(_reason(error)))
            return 1
        parent.say(Ready())
        await desk.work(runner)
    return 0


class Parent:
    """The process that started this one; ``say`` from the loop's thread, ``hear`` from one thread at a time."""

    def __init__(self, channel: socket.socket) -> None:
        # What handlers start must not hold it open.
        channel.set_inheritable(False)
        self._channel = channel

    def say(self, message: Message) -> None:
        """Tell it something; where it is gone, this process ends as well."""
        with contextlib.suppress(OSError):
            self._channel.sendall(pack(message))

    def hear(self) -> Message | None:
        """What it says next; None where it is gone."""
        head = self._read(HEAD.size)
        text = None if head is None else self._read(*HEAD.unpack(head))
        return None if text is None else unpack(text)

    def listen(self, put: Callable[[Message], None]) -> None:
        """From here on hear in a thread, hand everything to the loop, and end with the parent."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop, put), name="goose-parent", daemon=True).start()

    def _listen(self, loop: asyncio.AbstractEventLoop, put: Callable[[Message], None]) -> None:
        while (message := self.hear()) is not None:
            with contextlib.suppress(RuntimeError):  # The loop has been closed: this process ends anyway.
                loop.call_soon_threadsafe(put, message)
        end_now()

    def _read(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            try:
                part = self._channel.recv(min(size - len(data), 1 << 18))
            except OSError:
                part = b""
            if not part:
                return None
            data += part
        return bytes(data)


class Desk:
    """Orders on their way through this process, one at a time."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._control = ChildControl(parent)
        self._orders: asyncio.Queue[tuple[Order, ChildControl] | None] = asyncio.Queue()

    def put(self, message: Message) -> None:
        """Take what the parent says: an order, or something about the one that it gave last."""
        match message:
            case Run() | Judge():
                self._control = ChildControl(self._parent)
                self._orders.put_nowait((message, self._control))
            case Stop(reason, text):
                self._control.stop(reason, text)
            case Quit():
                self._orders.put_nowait(None)

    async def work(self, runner: Runner) -> None:
        """Carry out one order after the other, until there are no more."""
        while (order := await self._orders.get()) is not None:
            # A task for each attempt, as the runner wants it.
            outcome = await asyncio.create_task(_carry_out(*order, runner))
            self._parent.say(Done(outcome))


class ChildControl(RunControl):
    """Tells the parent where an attempt stands; it is the parent that keeps the time."""

    __slots__ = ("_parent",)

    def __init__(self, parent: Parent) -> None:
        super().__init__()
        self._parent = parent

    def stop(self, reason: Reason, text: str) -> None:
        """What the parent's own control was told."""
        self._stop(reason, text)

    def arm(self, timeout: float | None) -> None:
        """User code runs from here on; its timeout is the parent's affair."""
        del timeout
        super().arm(None)
        self._parent.say(Began())

    async def disarm(self, error: BaseException | None, job: str, limit: float | None) -> BaseException | None:
        """User code has ended."""
        self._parent.say(Ended())
        return await super().disarm(error, job, limit)

    def has_failed(self, error: ErrorRecord) -> None:
        """The parent has to know the error, should ``on_failure`` end this process."""
        self._parent.say(Failing(error))


def end_now() -> None:
    """End this process and what it has started, without another line of Python."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


async def _carry_out(order: Order, control: ChildControl, runner: Runner) -> Outcome:
    match order:
        case Run(claimed):
            return await runner.run_here(claimed, control)
        case Judge(claimed):
            return await runner.judge(claimed, order.error(), control)


def _load(origin: Origin) -> goose.Instance:
    try:
        instance = origin.load()
    except (Exception, SystemExit) as error:
        log.exception("a child process could not import %s", origin.module)
        raise QueueError(f"the import of {origin.module} raised {say(error)}") from error
    if not isinstance(instance, goose.Instance):
        raise QueueError(f"{origin.module}:{origin.attribute} is no application any more")
    return instance


def _leave_signals_to_the_parent() -> None:
    """A stop signal to all processes of a service means: finish what runs. The parent says when it is over."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which what handlers start would inherit.
        signal.signal(number, lambda *_: None)
    if sys.platform == "linux":
        # For a handler that never gives the interpreter back, so that no thread can see that the parent is gone.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _take_over(hello: Hello) -> None:
    """Look for modules, and show the command line, as the parent does."""
    sys.path[:] = hello.path
    sys.argv[:] = hello.argv
    if hello.python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = hello.python_path


def _reason(error: Exception) -> str:
    if isinstance(error, GooseError):
        return str(error)
    log.error("a child process could not boot the application", exc_info=error)
    return say(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
