"""Group commit on servers: dispatches that are awaited at the same moment share one statement and one commit.

Nobody waits for company: what is there goes at once, and what comes while it is on its way goes with the next. SQLite's
writer does the same for every operation. ``store`` owns one of these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from goose_queues.errors import StoreUnavailable
from goose_queues.record import NewBatch, NewJob

TOGETHER: Final = 1_000
"""Jobs that share a commit at most; a dispatch of more than a tenth of them has one for itself."""

Store: TypeAlias = Callable[[Sequence[NewJob], Sequence[NewBatch]], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Dispatch:
    """One caller who waits."""

    jobs: Sequence[NewJob]
    batches: Sequence[NewBatch]
    done: asyncio.Future[None]


class Gathering:
    """The dispatches of one process on their way into the store; belongs to the event loop.

    Args:
        store: Stores all of it or nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Dispatch] = []
        self._storing: asyncio.Task[None] | None = None

    async def insert(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch]) -> None:
        """Return when it is stored; each caller learns of its own fault.

        Where the caller is cancelled, it is stored wholly or not at all.
        """
        if len(jobs) > TOGETHER // 10:
            await asyncio.shield(asyncio.ensure_future(self._store(jobs, batches)))
            return
        loop = asyncio.get_running_loop()
        dispatch = _Dispatch(jobs, batches, loop.create_future())
        self._waiting.append(dispatch)
        if self._storing is None:
            self._storing = loop.create_task(self._store_all(), name="goose-dispatches")
        try:
            await dispatch.done
        except asyncio.CancelledError:
            if dispatch in self._waiting:
                self._waiting.remove(dispatch)
            raise

    async def stored(self) -> None:
        """Wait until nothing is on its way."""
        while self._storing is not None:
            await asyncio.wait((self._storing,))

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                together = self._next()
                try:
                    await self._store_together(together)
                except BaseException as error:
                    for dispatch in together:
                        _fail(dispatch, error)
                    if not isinstance(error, Exception):
                        raise
        finally:
            self._storing = None

    def _next(self) -> list[_Dispatch]:
        jobs = 0
        for place, dispatch in enumerate(self._waiting):
            jobs += len(dispatch.jobs)
            if jobs > TOGETHER and place:
                together, self._waiting = self._waiting[:place], self._waiting[place:]
                return together
        together, self._waiting = self._waiting, []
        return together

    async def _store_together(self, together: Sequence[_Dispatch]) -> None:
        try:
            await self._store(
                [job for dispatch in together for job in dispatch.jobs],
                [batch for dispatch in together for batch in dispatch.batches],
            )
        except Exception as error:
            if len(together) == 1 or isinstance(error, StoreUnavailable):
                raise
            # One of them is at fault: the others are not to suffer for it.
            for dispatch in together:
                await self._store_alone(dispatch)
            return
        for dispatch in together:
            if not dispatch.done.done():
                dispatch.done.set_result(None)

    async def _store_alone(self, dispatch: _Dispatch) -> None:
        try:
            await self._store(dispatch.jobs, dispatch.batches)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            _fail(dispatch, error)
        else:
            if not dispatch.done.done():
                dispatch.done.set_result(None)


def _fail(dispatch: _Dispatch, error: BaseException) -> None:
    if dispatch.done.done():
        return
    if isinstance(error, asyncio.CancelledError):
        dispatch.done.cancel()
    else:
        dispatch.done.set_exception(error)
