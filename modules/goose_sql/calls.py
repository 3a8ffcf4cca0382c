"""One operation on its way to a database thread, and its outcome on the way back.

Made by ``on_sqlite``, carried out by ``writer`` and ``readers``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy.engine import Connection

T = TypeVar("T")

Operation: TypeAlias = Callable[[Connection], T]
"""A plain function of a connection; it returns to have its changes kept and raises to have them undone."""


class Call(Generic[T]):
    """One operation, who waits for it, and what became of it until that is delivered."""

    __slots__ = ("_error", "_result", "future", "loop", "operation", "urgent")

    def __init__(
        self,
        operation: Operation[T],
        future: asyncio.Future[T] | concurrent.futures.Future[T],
        loop: asyncio.AbstractEventLoop | None,
        *,
        urgent: bool,
    ) -> None:
        self.operation = operation
        self.future = future
        self.loop = loop
        """Where the outcome is awaited; None where a thread waits for it."""
        self.urgent = urgent
        self._result: Any = None
        self._error: BaseException | None = None

    def begin(self) -> bool:
        """Say that the operation begins; False where nobody waits for it any more, so that it must not.

        From here on it runs to its end, whether anyone still waits or not.
        """
        if isinstance(self.future, concurrent.futures.Future):
            return self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()

    def returned(self, result: T) -> None:
        """Keep what the operation returned until it is durable."""
        self._result = result

    def failed(self, error: BaseException) -> None:
        """Have the caller get this error, whatever was returned before."""
        # A future refuses StopIteration, as it would end the coroutine that awaits it.
        self._error = RuntimeError(f"the operation raised {error!r}") if isinstance(error, StopIteration) else error

    def deliver(self) -> None:
        """Hand the outcome over; in the loop's own thread where a loop awaits it."""
        error, self._error = self._error, None
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self._result)


def awaited(operation: Operation[T], *, urgent: bool = False) -> tuple[Call[T], asyncio.Future[T]]:
    """A call, and the future of the running event loop that gets its outcome."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    return Call(operation, future, loop, urgent=urgent), future


def waited(operation: Operation[T], *, urgent: bool = False) -> tuple[Call[T], concurrent.futures.Future[T]]:
    """A call, and the future by which a thread waits for its outcome."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    return Call(operation, future, None, urgent=urgent), future


def deliver_all(calls: Iterable[Call[Any]]) -> None:
    """Hand outcomes over from a database thread: each event loop is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Call[Any]]] = {}
    for call in calls:
        if call.loop is None:
            call.deliver()
        else:
            by_loop.setdefault(call.loop, []).append(call)
    for loop, theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver_each, theirs)
        except RuntimeError:
            # The loop is closed, and with it everyone who waited.
            continue


def _deliver_each(calls: Iterable[Call[Any]]) -> None:
    for call in calls:
        call.deliver()
