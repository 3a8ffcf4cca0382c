"""The turn to write to one SQLite file: one holder at a time in this process, first come, first served.

SQLite itself makes writers poll for its lock, which is unfair and ends in "database is locked". Whoever writes here
(the writer's thread, each session's connection) takes the file's turn first, so only other processes are ever met.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

_turnstiles: WeakValueDictionary[Path, Turnstile] = WeakValueDictionary()
_registry = threading.Lock()


def turnstile_of(file: Path) -> Turnstile:
    """The one turnstile of a resolved path in this process."""
    with _registry:
        turnstile = _turnstiles.get(file)
        if turnstile is None:
            turnstile = _turnstiles[file] = Turnstile()
        return turnstile


class _Ticket:
    """One place in the line."""

    __slots__ = ("admit", "admitted")

    def __init__(self, admit: Callable[[], object]) -> None:
        self.admit = admit
        self.admitted = False
        """Set under the turnstile's lock when the turn is handed over."""


class Turnstile:
    """A fair lock for threads and tasks together; taken in one thread, it may be left in another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._line: deque[_Ticket] = deque()

    async def enter(self, patience: float) -> bool:
        """Take the turn from a task; False where it did not come within ``patience`` seconds."""
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        ticket = _Ticket(lambda: loop.call_soon_threadsafe(_come, came))
        if self._take(ticket, first=False):
            return True
        try:
            async with asyncio.timeout(patience):
                await came
        except TimeoutError:
            self._give_up(ticket)
            return False
        except BaseException:
            self._give_up(ticket)
            raise
        return True

    def enter_blocking(self, patience: float, *, first: bool = False) -> bool:
        """Take the turn from a thread, ``first`` before all others that wait; False where it did not come in time."""
        came = threading.Lock()
        came.acquire()
        ticket = _Ticket(came.release)
        if self._take(ticket, first=first) or came.acquire(timeout=patience):
            return True
        self._give_up(ticket)
        return False

    def leave(self) -> None:
        """Hand the turn to the next in line."""
        while True:
            with self._lock:
                if not self._line:
                    self._taken = False
                    return
                ticket = self._line.popleft()
                ticket.admitted = True
            try:
                ticket.admit()
            except RuntimeError:
                # Its event loop is closed: nobody is there to take the turn.
                continue
            return

    def _take(self, ticket: _Ticket, *, first: bool) -> bool:
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            if first:
                self._line.appendleft(ticket)
            else:
                self._line.append(ticket)
            return False

    def _give_up(self, ticket: _Ticket) -> None:
        with self._lock:
            if not ticket.admitted:
                self._line.remove(ticket)
                return
        self.leave()


def _come(came: asyncio.Future[None]) -> None:
    if not came.done():
        came.set_result(None)


# A forked child has none of the parent's threads and tasks, so nobody there could ever leave a turn taken before.
os.register_at_fork(after_in_child=_turnstiles.clear)
