"""Threads for plain ``def`` handlers: owned here, so that an exception can be raised inside one of them.

Used by ``runner`` alone. They are daemons: one that does not end does not keep its process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

import anyio.lowlevel

# Not public, but the only way to make ``anyio.from_thread.run`` work in a thread that anyio did not start;
# anyio's own threads are not daemons and give no hold on the one that runs a call.
from anyio._core._eventloop import claim_worker_thread

LOCK_PATIENCE: Final = 0.1
"""Seconds. The lock is held for microseconds; but an interrupt may land in the thread just as it has taken it, and then
the thread has left the function anyway. The loop must not wait for that."""

TRACER_HANGS: Final = sys.version_info < (3, 12)
"""Whether a traced thread (coverage, a debugger) spins for ever while an exception waits for another one that blocks."""

_set_async_exc: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc


class ThreadCall:
    """One call of a function in a thread; made and awaited in the loop's thread, interrupted from there too.

    An interrupt is raised inside the function as soon as it runs Python code again. It is armed and disarmed under a
    lock, so that it never lands after the function has returned.
    """

    __slots__ = (
        "_armed",
        "_context",
        "_error",
        "_function",
        "_lock",
        "_pending",
        "_sent",
        "_thread",
        "_token",
        "_value",
        "done",
    )

    def __init__(self, function: Callable[[], Any]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Resolved when the thread has left the function."""
        self._function = function
        self._context = contextvars.copy_context()
        self._token = anyio.lowlevel.current_token()
        self._lock = threading.RLock()
        self._armed = False
        self._sent = False
        self._pending: type[BaseException] | None = None
        self._thread = 0
        self._value: Any = None
        self._error: BaseException | None = None

    def interrupt(self, error: type[BaseException]) -> None:
        """Raise ``error`` inside the function; before it has begun, instead of it; after it has returned, not at all."""
        if not self._lock.acquire(timeout=LOCK_PATIENCE):
            return
        try:
            if self._armed:
                self._sent = True
                _raise_in_thread(self._thread, error)
            elif not self._thread:
                self._pending = error
        finally:
            self._lock.release()

    def result(self) -> Any:
        """What the function returned; raises what it raised. To be called once, after ``done``."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # It refers to this frame.

    def run(self) -> None:
        """The thread's part."""
        try:
            self._run()
        except BaseException:  # noqa: BLE001 - an interrupt that came after the function had returned: nobody's any more
            self._disarm()

    def finish(self) -> None:
        """Tell the loop; the thread has rested already."""
        try:
            self.done.get_loop().call_soon_threadsafe(self._resolve)
        except RuntimeError:
            return  # The loop has been closed over a thread that did not end in time.

    def _run(self) -> None:
        try:
            self._value = self._begin()
        except BaseException as error:  # noqa: BLE001 - given back by result()
            self._error = error
        self._disarm()

    def _begin(self) -> Any:
        with self._lock:
            self._thread = threading.get_ident()
            if self._pending is not None:
                raise self._pending
            self._armed = True
        with claim_worker_thread(self._token.backend_class, self._token.native_token):
            return self._context.run(self._function)

    def _disarm(self) -> None:
        with self._lock:
            self._armed = False
        if self._sent:
            _let_it_land()

    def _resolve(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Landed(BaseException):
    """Raised by a thread in itself, only to have raised something."""


def _raise_in_thread(thread: int, error: type[BaseException]) -> None:
    here = threading.get_ident()
    _set_async_exc(ctypes.c_ulong(thread), ctypes.py_object(error))
    if TRACER_HANGS and sys.gettrace() is not None:
        # Until the thread has met its exception, the interpreter of 3.11 cannot enter a traced function. Give it time to,
        # then raise one here: that ends the state, and the thread meets its own a little later. No call of a Python
        # function before that.
        time.sleep(0.005)
        try:
            _set_async_exc(ctypes.c_ulong(here), ctypes.py_object(_Landed))
            for _ in range(100):
                pass
        except _Landed:
            return


def _let_it_land() -> None:
    # An interrupt on its way arrives at the first turn of a loop. Taking it back instead (PyThreadState_SetAsyncExc with
    # NULL) leaves the interpreter of 3.11 checking for it for ever: everything gets slow, and a tracer hangs.
    try:
        for _ in range(100):
            pass
    except BaseException:  # noqa: BLE001 - this is where it lands
        return


class HandlerThreads:
    """As many threads as there are calls at once; a thread that has finished is used again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[ThreadCall | None]] = []
        self._closed = False

    def start(self, call: ThreadCall) -> None:
        """Run a call in a thread of its own."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = SimpleQueue()
            threading.Thread(target=self._serve, args=(inbox,), name="goose-handler", daemon=True).start()
        inbox.put(call)

    def close(self) -> None:
        """Have the threads end that rest, and the others when they have finished. Does not wait."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _serve(self, inbox: SimpleQueue[ThreadCall | None]) -> None:
        going_on = True
        while going_on and (call := inbox.get()) is not None:
            call.run()
            with self._lock:
                going_on = not self._closed
                if going_on:
                    self._idle.append(inbox)
            call.finish()
            del call
