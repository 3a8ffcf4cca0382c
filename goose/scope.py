"""Scope: the life of one request or one job attempt, and how code finds the one that it runs in.

Opened by whoever answers requests or runs jobs; filled by ``container``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self, TypeAlias

import anyio

ExitCallback: TypeAlias = Callable[[BaseException | None], Awaitable[None] | None]

_current: ContextVar[Scope | None] = ContextVar("goose_scope", default=None)


def current_scope() -> Scope | None:
    """The scope of the request or job that runs here; also in its child tasks and threads."""
    return _current.get()


class Scope:
    """The life of one request or one job attempt: what is scoped lives in it and is disposed at its end.

    Entered with ``async with``. At the end the exit callbacks run in reverse order, each of them whatever the others
    do; they get the error that ended the scope, or None. An error of theirs is raised unless the scope was ended by
    one already.
    """

    __slots__ = ("_async_lock", "_exits", "_lock", "_token", "instances")

    def __init__(self) -> None:
        self.instances: dict[object, Any] = {}
        self._exits: list[ExitCallback] = []
        self._lock = threading.RLock()
        self._async_lock: asyncio.Lock | None = None
        self._token: Token[Scope | None] | None = None

    def on_exit(self, callback: ExitCallback) -> None:
        """Have ``callback`` called at the scope's end with the error that ended it, or None."""
        self._exits.append(callback)

    async def __aenter__(self) -> Self:
        self._token = _current.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._exits:
                await self.close(error)
        finally:
            if self._token is not None:
                _current.reset(self._token)

    async def close(self, error: BaseException | None = None) -> None:
        """Run the exit callbacks; from the first error on shielded from the cancellation of the task around."""
        failures: list[BaseException] = []
        while self._exits and error is None:
            error = await _end(self._exits.pop(), None)
            failures += [error] if error is not None else []
        if self._exits:
            with anyio.CancelScope(shield=True):
                while self._exits:
                    failure = await _end(self._exits.pop(), error)
                    failures += [failure] if failure is not None else []
        if failures and failures[0] is error:
            raise failures[0] if len(failures) == 1 else BaseExceptionGroup("the scope's end met errors", failures)

    def take(self, key: object, make: Callable[[Scope], Any]) -> Any:
        """The scope's instance of a key, made here where there is none yet."""
        with self._lock:
            if key not in self.instances:
                self.instances[key] = make(self)
            return self.instances[key]

    async def take_async(self, key: object, make: Callable[[Scope], Awaitable[Any]]) -> None:
        """Have the instance of a key that async code makes."""
        if key in self.instances:
            return
        if self._async_lock is None:
            self._async_lock = asyncio.Lock()
        async with self._async_lock:
            if key not in self.instances:
                self.instances[key] = await make(self)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Be the current scope within the block, whatever was it before."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


async def _end(callback: ExitCallback, error: BaseException | None) -> BaseException | None:
    """Call one exit callback; what it raised of its own, or None."""
    try:
        ended = callback(error)
        if ended is not None:
            await ended
    except BaseException as failure:  # noqa: BLE001 - the others have their turn first; close() raises it
        return failure if failure is not error else None
    return None
