"""Jobs that are listed, a page at a time, as they are iterated over. Made by ``client``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Self, get_args

from goose_queues.errors import InvalidFilter
from goose_queues.record import JobFilter, JobRecord, Status
from goose_queues.status import JobStatus
from goose_queues.store import Store

PAGE: Final = 200
"""Jobs at most that one look at the store brings."""


class JobListing:
    """``async for job in queue.jobs(...)``: what runs, what is next, what is due later, then what has finished, newest first.

    Jobs may come and go meanwhile; one that keeps its place is shown once.
    """

    def __init__(
        self,
        store: Store,
        shown: Callable[[JobRecord], JobStatus],
        wanted: JobFilter,
        limit: int | None,
        cursor: str | None,
    ) -> None:
        _check(wanted, limit, cursor)
        self._store = store
        self._shown = shown
        self._wanted = wanted
        self._left = limit
        self._page: deque[JobStatus] = deque()
        self._begun = False
        self.cursor = cursor
        """Where another listing with the same filter goes on after this one; None at the end of all."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobStatus:
        if not self._page and not await self._turn():
            raise StopAsyncIteration
        return self._page.popleft()

    async def _turn(self) -> bool:
        """Fetch the next page; whether there is anything on it."""
        while not self._page and self._left != 0 and not (self._begun and self.cursor is None):
            limit = PAGE if self._left is None else min(PAGE, self._left)
            page = await self._store.jobs(self._wanted, limit, self.cursor)
            self._begun, self.cursor = True, page.cursor
            self._page.extend(map(self._shown, page.records))
            if self._left is not None:
                self._left -= len(page.records)
        return bool(self._page)


def _check(wanted: JobFilter, limit: object, cursor: object) -> None:
    texts = {"queue": wanted.queue, "name": wanted.name, "chain": wanted.chain_id, "batch": wanted.batch_id}
    for option, value in texts.items():
        _refuse_unless(value is None or isinstance(value, str), option, value, "use text, or None for all")
    statuses = get_args(Status)
    known = wanted.status is None or wanted.status in statuses
    _refuse_unless(known, "status", wanted.status, f"use one of {', '.join(statuses)}, or None for all")
    whole = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    _refuse_unless(limit is None or whole, "limit", str(limit), "use a whole number above 0, or None for all")
    text = cursor is None or isinstance(cursor, str)
    _refuse_unless(text, "cursor", cursor, "use the cursor of an earlier listing with the same filter")


def _refuse_unless(fits: bool, option: str, value: object, allowed: str) -> None:
    if not fits:
        raise InvalidFilter(option, value, allowed)
