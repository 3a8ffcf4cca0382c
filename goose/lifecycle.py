"""Boot in order, roll back on failure, supervise what runs, stop in reverse: the hooks of whoever takes part.

``kernel`` makes one ``Lifecycle`` at boot, of its modules and built singletons in dependency order.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.to_thread

from goose.errors import GooseError, HookFailed, HookTimeout

log = logging.getLogger("goose.lifecycle")

HOOK_TIMEOUT: Final = 30.0
"""Seconds that a hook may take unless its owner has a ``hook_timeout`` of its own."""
RESTART_MIN: Final = 0.1
RESTART_MAX: Final = 30.0
"""Seconds before ``on_run`` is started again after it died: doubling from the first to the last, with jitter."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Someone with hooks, and the name by which errors speak of it."""

    name: str
    owner: Any

    def hook(self, word: str) -> Callable[[], Any] | None:
        """The owner's hook of this name, if it has one."""
        if not callable(getattr(type(self.owner), word, None)):
            return None
        found: Callable[[], Any] = getattr(self.owner, word)
        return found

    @property
    def limit(self) -> float:
        return float(getattr(self.owner, "hook_timeout", HOOK_TIMEOUT))


class Lifecycle:
    """The hooks of one running application."""

    def __init__(self, participants: Sequence[Participant]) -> None:
        self._participants = participants
        self._booted: list[Participant] = []
        self._runs: list[Run] = []

    async def boot(self) -> None:
        """Call every ``on_boot`` in order.

        Raises:
            GooseError: A hook failed; those that had booted have been shut down again, in reverse order.
        """
        for participant in self._participants:
            try:
                await _call(participant, "on_boot")
            except BaseException as error:
                with anyio.CancelScope(shield=True):
                    for failure in await self.shutdown():
                        error.add_note(f"and while rolling back: {failure}")
                raise
            self._booted.append(participant)

    def run(self) -> None:
        """Start every ``on_run``, supervised."""
        self._runs = [Run(p, hook) for p in self._participants if (hook := p.hook("on_run")) is not None]

    def stop_runs(self) -> None:
        """Cancel every ``on_run``: no new work from here on. Does not wait; ``shutdown`` does."""
        for run in self._runs:
            run.cancel()

    def states(self) -> dict[str, str | None]:
        """Each supervised ``on_run``: None where it runs, else why it does not."""
        return {f"{run.participant.name}.on_run": run.down for run in self._runs}

    async def shutdown(self) -> list[Exception]:
        """End every ``on_run``, then call every ``on_shutdown`` in reverse order; return what failed."""
        self.stop_runs()
        for run in self._runs:
            await run.ended()
        self._runs = []
        failures: list[Exception] = []
        while self._booted:
            try:
                await _call(self._booted.pop(), "on_shutdown")
            except Exception as error:  # noqa: BLE001 - the others have their turn; all are reported together
                failures.append(error)
        return failures


class Run:
    """One ``on_run`` under supervision: started again with backoff when it dies, until it returns or is cancelled."""

    def __init__(self, participant: Participant, hook: Callable[[], Any]) -> None:
        self.participant = participant
        self.down: str | None = None
        self._hook = hook
        self._stopping = False
        self._task = asyncio.get_running_loop().create_task(self._supervise(), name=f"{participant.name}.on_run")

    def cancel(self) -> None:
        """End it; idempotent."""
        if not self._stopping:
            self._stopping = True
            self._task.cancel()

    async def ended(self) -> None:
        """Wait until it has ended after ``cancel``."""
        await asyncio.wait([self._task])

    async def _supervise(self) -> None:
        delay = RESTART_MIN
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                self.down = None
                await self._hook()
            except BaseException as error:
                if self._stopping or (isinstance(error, asyncio.CancelledError) and self._task.cancelling()):
                    return  # Cancelled by us, or with everything else by an event loop that closes.
                self.down = f"{type(error).__name__}: {error}"
                if loop.time() - started > RESTART_MAX:
                    delay = RESTART_MIN
                log.exception("%s.on_run died; it is started again in %.1f s", self.participant.name, delay)
            else:
                return
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            delay = min(delay * 2, RESTART_MAX)


async def _call(participant: Participant, word: str) -> None:
    """Call one hook within its limit; a plain ``def`` runs in a thread, so that the limit holds for it too."""
    hook = participant.hook(word)
    if hook is None:
        return
    clock = asyncio.timeout(participant.limit)
    try:
        async with clock:
            if inspect.iscoroutinefunction(hook):
                await hook()
            else:
                await anyio.to_thread.run_sync(hook, abandon_on_cancel=True)
    except GooseError:
        raise
    except Exception as error:
        if clock.expired():
            raise HookTimeout(participant.name, word, participant.limit) from error
        raise HookFailed(participant.name, word, _reason(error)) from error


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
