"""Code around every job: classes built by injection, folded around the handler, outermost first.

Written by users, folded by ``runner`` once for each attempt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, TypeAlias

from goose import Lifetime
from goose_queues.context import JobContext

Next: TypeAlias = Callable[[], Awaitable[object]]
"""Goes on to the next middleware, or to the handler; called once, gives back what that returned."""


class JobMiddleware(ABC):
    """Wraps the handler of a job; one instance for each attempt, its dependencies injected.

    It may look at what ``next()`` returns or raises, raise itself (the attempt fails), or leave ``next`` uncalled
    (the job counts as completed).
    """

    __goose_lifetime__: ClassVar[Lifetime] = "scoped"

    @abstractmethod
    async def handle(self, ctx: JobContext, next: Next, /) -> object:
        """Do something around ``await next()``, and return what it returned."""


def fold(middleware: Sequence[JobMiddleware], ctx: JobContext, handler: Next) -> Next:
    """One call that goes through all of the middleware, the first one outermost, to the handler."""
    step = handler
    for link in reversed(middleware):
        step = _Link(link, ctx, step).run
    return step


class _Link:
    """One middleware with what comes after it, which it may call once."""

    __slots__ = ("_called", "_ctx", "_middleware", "_next")

    def __init__(self, middleware: JobMiddleware, ctx: JobContext, next: Next) -> None:
        self._middleware = middleware
        self._ctx = ctx
        self._next = next
        self._called = False

    async def run(self) -> object:
        result = await self._middleware.handle(self._ctx, self._go_on)
        if not self._called:
            name = type(self._middleware).__name__
            self._ctx.log.info("%s ended the job without calling next()", name, extra={"middleware": name})
        return result

    def _go_on(self) -> Awaitable[object]:
        if self._called:
            raise RuntimeError("next() was already called")
        self._called = True
        return self._next()
