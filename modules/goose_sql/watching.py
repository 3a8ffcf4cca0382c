"""Notices that a server has gone silent while connections wait for it, where TCP cannot: it is frozen, or swallowed up.

``server_engine`` tells it which connections are in use. No statement is cut off for being long: what counts is whether the
server answers somebody else meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from goose_sql.sockets import break_off

_TICK: Final = 2.0
_PATIENCE: Final = 4.0
"""Seconds that a connection has to be in use before the server is asked whether it is there."""
_ANSWER: Final = 8.0
"""Seconds that it has for its answer; a server under load takes its time to let somebody in."""
_BETWEEN: Final = 10.0
"""Seconds from one answer to the next question, while connections stay in use."""
_PAUSE: Final = 0.5
"""Seconds between questions to a server that is silent."""
_FIRST: Final = 2.0
"""Seconds for the first of these; the longest is ``_ANSWER``. Short ones are heard sooner when the line is back."""


class Watch:
    """The connections of one engine that are in use, and whether their server is there.

    Args:
        ask: Returns or raises when the server has answered, whatever it said.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask: Final = ask
        self._used: Final[dict[int, tuple[Any, float]]] = {}
        self._made: Final[set[asyncio.Timeout]] = set()
        """Of connections that are being made."""
        self._task: asyncio.Task[None] | None = None
        self.silent_for: float | None = None
        """Seconds for which it has given no answer; None while it answers."""

    def start(self) -> None:
        """Begin to watch, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="goose-sql-watch")

    async def stop(self) -> None:
        """End; idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def begin(self, driver: Any) -> None:
        """A connection comes into use."""
        self._used[id(driver)] = (driver, time.monotonic())

    def end(self, driver: Any) -> None:
        """It is at rest again, or closed."""
        self._used.pop(id(driver), None)

    @asynccontextmanager
    async def making(self, seconds: float) -> AsyncIterator[None]:
        """A connection is being made inside.

        Raises:
            TimeoutError: It was not made in time, or it is known that the server is silent.
        """
        if self.silent_for is not None:
            raise TimeoutError(f"it has not answered for {self.silent_for:.0f} s")
        limit = asyncio.timeout(seconds)
        self._made.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError:
            raise TimeoutError(f"it has not answered for {seconds:.0f} s") from None
        finally:
            self._made.discard(limit)

    def break_off(self) -> None:
        """End every connection that is in use or being made."""
        now = asyncio.get_running_loop().time()
        for limit in self._made:
            if not limit.expired():
                limit.reschedule(now)
        for driver, _ in list(self._used.values()):
            break_off(driver)

    async def _run(self) -> None:
        asked = 0.0
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            if now - asked >= _BETWEEN and any(now - since >= _PATIENCE for _, since in self._used.values()):
                if not await self._answers(_ANSWER):
                    await self._silent(now)
                asked = time.monotonic()

    async def _silent(self, since: float) -> None:
        """Give up what waits for the server, and let nobody else wait for it, until it answers again."""
        patience = _FIRST
        while True:
            self.silent_for = time.monotonic() - since
            self.break_off()
            await asyncio.sleep(_PAUSE)
            if await self._answers(patience):
                self.silent_for = None
                return
            patience = min(2 * patience, _ANSWER)

    async def _answers(self, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                # A refusal is an answer.
                with suppress(Exception):
                    await self._ask()
        except TimeoutError:
            return False
        return True
