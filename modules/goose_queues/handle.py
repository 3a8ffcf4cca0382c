"""What a dispatch gives: handles to watch jobs, chains and batches, and to wait for a result.

Made by the sentences. ``Completions`` tells a waiting handle at once when this process has settled its job; a job that
runs elsewhere is found by asking the store at growing intervals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from goose_queues.errors import BatchNotFound, JobCancelled, JobFailed, JobNotFound
from goose_queues.record import BatchProgress, JobRecord
from goose_queues.status import FINISHED, JobStatus, View, status_of
from goose_queues.store import Store
from goose_queues.values import duration

ASK_FIRST: Final = 0.05
ASK_LAST: Final = 2.0
"""Seconds between two questions to the store: growing from the first to the last."""


class Completions:
    """Who waits for which job in this process; called on the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def settled(self, job_ids: Iterable[str]) -> None:
        """Wake everyone who waits for one of these jobs."""
        if self._waiting:
            for job_id in job_ids:
                for event in self._waiting.get(job_id, ()):
                    event.set()

    def watch(self, job_id: str) -> asyncio.Event:
        """An event that is set when the job has been settled here; to be given back with ``forget``."""
        event = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(event)
        return event

    def forget(self, job_id: str, event: asyncio.Event) -> None:
        """The end of ``watch``."""
        waiting = self._waiting[job_id]
        waiting.discard(event)
        if not waiting:
            del self._waiting[job_id]


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A dispatched job."""

    id: str
    """A UUIDv7."""
    _store: Store = field(repr=False, compare=False)
    _completions: Completions = field(repr=False, compare=False)
    _view: View | None = field(default=None, repr=False, compare=False)

    async def status(self) -> JobStatus:
        """What the store knows of the job now.

        Raises:
            JobNotFound: It has been pruned, or its transaction was rolled back or is still open.
        """
        return status_of(await self._record(), self._view)

    async def result(self, timeout: timedelta | float | None = None) -> Any:  # noqa: ASYNC109 - a limit of the user's
        """Wait until the job has finished; what its handler returned.

        Args:
            timeout: Seconds to wait at most, or a ``timedelta``; None waits for as long as it takes.

        Raises:
            JobFailed: It failed for good.
            JobCancelled: It was cancelled.
            JobNotFound: It has been pruned, or its transaction was rolled back or is still open.
            TimeoutError: It has not finished in time.
        """
        limit = None if timeout is None else duration(timeout, "result(timeout=)")
        settled = self._completions.watch(self.id)
        try:
            async with asyncio.timeout(limit):
                record = await self._finished(settled)
        except TimeoutError:
            raise TimeoutError(f"job {self.id} did not finish within {limit:g} s") from None
        finally:
            self._completions.forget(self.id, settled)
        return _verdict(record)

    async def _finished(self, settled: asyncio.Event) -> JobRecord:
        interval = ASK_FIRST
        while (record := await self._record()).status not in FINISHED:
            try:
                async with asyncio.timeout(interval):
                    await settled.wait()
            except TimeoutError:
                interval = min(interval * 1.5, ASK_LAST)
            settled.clear()
        return record

    async def _record(self) -> JobRecord:
        record = await self._store.get(self.id)
        if record is None:
            raise JobNotFound(self.id)
        return record


@dataclass(frozen=True, slots=True)
class BatchHandle:
    """A dispatched batch."""

    id: str
    """A UUIDv7."""
    ids: tuple[str, ...]
    """Of its jobs in order, without callbacks."""
    _store: Store = field(repr=False, compare=False)
    _completions: Completions = field(repr=False, compare=False)
    _view: View | None = field(default=None, repr=False, compare=False)

    @property
    def jobs(self) -> tuple[JobHandle, ...]:
        """Its jobs in order, without callbacks."""
        return tuple(JobHandle(job_id, self._store, self._completions, self._view) for job_id in self.ids)

    async def progress(self) -> BatchProgress:
        """How far it is.

        Raises:
            BatchNotFound: It has been pruned, or its transaction was rolled back or is still open.
        """
        return await progress_of(self._store, self.id)


@dataclass(frozen=True, slots=True)
class ChainHandle:
    """A dispatched chain."""

    id: str
    """A UUIDv7."""
    links: tuple[JobHandle | BatchHandle, ...]
    """In order."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its jobs in order, those of its batches too."""
        return tuple(i for link in self.links for i in ((link.id,) if isinstance(link, JobHandle) else link.ids))


async def progress_of(store: Store, batch_id: str) -> BatchProgress:
    """How far a batch is.

    Raises:
        BatchNotFound: There is none of this id, whatever the text.
    """
    progress = await store.batch(batch_id)
    if progress is None:
        raise BatchNotFound(batch_id)
    return progress


def _verdict(record: JobRecord) -> Any:
    if record.status == "failed":
        error = record.error
        if error is None:
            raise JobFailed(record.id, record.name, "unknown", record.note or "no error was recorded")
        raise JobFailed(record.id, record.name, error.type, error.message, error.traceback)
    if record.status == "cancelled":
        raise JobCancelled(record.note or "the job was cancelled")
    return status_of(record).result
