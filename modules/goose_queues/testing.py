"""What tests of an application use: a queue that only records, the drain, a clock that stands still.

``drain(kernel)`` runs what is due; ``FakeQueue`` goes in place of the ``Client``, ``FrozenClock`` of the ``Clock``::

    async with goose.running(app, overrides={Client: (queue := FakeQueue())}) as kernel: ...
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from goose.kernel import Kernel
from goose_queues import payload
from goose_queues.client import Client
from goose_queues.clock import Clock
from goose_queues.config import Settings
from goose_queues.drain import DrainReport, drain
from goose_queues.errors import JobConflict, JobNotFound
from goose_queues.handle import Completions
from goose_queues.job import Job
from goose_queues.readiness import Readiness
from goose_queues.record import BatchProgress, JobFilter, JobRecord, NewBatch, NewJob, Page, Purged, QueueStats
from goose_queues.registry import Registry
from goose_queues.store import Store

__all__ = ["DrainReport", "FakeQueue", "FrozenClock", "drain"]

J = TypeVar("J", bound=Job)
T = TypeVar("T")


class FakeQueue(Client):
    """Records what is dispatched and runs nothing; jobs and options are checked as the real one does.

    What is dispatched within a transaction is recorded at once, whether it commits or not. Whatever was dispatched is
    pending until it is cancelled, retried or purged; ``pause`` and ``resume`` show in ``stats``.
    """

    def __init__(self) -> None:
        self._shelf = _Shelf()
        self._anything = _Anything(())
        self._loose = _Loose()
        super().__init__(
            cast("Store", self._shelf),
            self._anything,
            Settings(),
            Completions(),
            Readiness(),
            Clock(),
            cast("Kernel", self._loose),
        )
        self._open = True
        # It has no workers, and says nothing of that.
        self._outbox.view = None

    @property
    def records(self) -> Sequence[NewJob]:
        """What was dispatched, in order, with queue, delay, place in a chain or batch, and all options; callbacks too."""
        return tuple(self._shelf.records)

    @property
    def dispatched(self) -> Sequence[Job]:
        """The jobs that were dispatched, in order."""
        return tuple(self._job(record) for record in self._shelf.records)

    def assert_dispatched(
        self, cls: type[J], *, times: int | None = None, where: Callable[[J], object] | None = None
    ) -> None:
        """Fail unless jobs of this class were dispatched.

        Args:
            cls: The job class.
            times: How many exactly; None: at least one.
            where: Only those for which this returns something true.

        Raises:
            AssertionError: There were none, or another number.
        """
        found = [job for job in self.dispatched if isinstance(job, cls) and (where is None or where(job))]
        if len(found) == times or (times is None and found):
            return
        wanted = "at least once" if times is None else f"{times} times"
        which = " that fits where=" if where is not None else ""
        raise AssertionError(
            f"{cls.__name__}{which} should have been dispatched {wanted}, but was {len(found)} times. "
            f"Dispatched were: {self._listed()}"
        )

    def assert_nothing_dispatched(self) -> None:
        """Fail if anything was dispatched.

        Raises:
            AssertionError: Something was.
        """
        if self._shelf.records:
            raise AssertionError(f"nothing should have been dispatched, but was: {self._listed()}")

    def _job(self, record: NewJob) -> Job:
        return payload.decode(self._anything.seen[record.name], record.payload)

    def _listed(self) -> str:
        counted = Counter(record.name for record in self._shelf.records)
        return ", ".join(f"{name} ({count} times)" for name, count in counted.items()) or "nothing"


class FrozenClock(Clock):
    """A clock that stands still until it is moved, for everything that the queue does by time.

    Goes in place of the ``Clock``: ``overrides={Clock: FrozenClock()}``. Leases do not lapse and nothing comes due
    until ``move``.

    Args:
        at: The time that it shows, aware; None: the time when it is made.
    """

    def __init__(self, at: datetime | None = None) -> None:
        now = datetime.now(UTC) if at is None else at
        if now.utcoffset() is None:
            raise ValueError("FrozenClock needs an aware datetime: use datetime.now(timezone.utc)")
        self._now = now.astimezone(UTC)

    @property
    def offset(self) -> float:  # type: ignore[override]
        """Seconds that the time shown is ahead of the system's."""
        return (self._now - datetime.now(UTC)).total_seconds()

    def now(self) -> datetime:
        """The time shown."""
        return self._now

    def move(self, by: timedelta | float) -> None:
        """Let time pass: a ``timedelta``, or seconds."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)


class _Anything(Registry):
    """A registry that knows every class which is dispatched."""

    seen: dict[str, type[Job]]

    def require(self, cls: type[Job]) -> None:
        self.__dict__.setdefault("seen", {})[cls.__goose_options__.name] = cls
        self.classes |= {cls}
        self.names |= {cls.__goose_options__.name}


class _Loose:
    """Stands where the kernel would: every event loop is the application's."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def run_blocking(self, work: Coroutine[Any, Any, T]) -> T:
        # Recording awaits nothing, so one step is all of it.
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise RuntimeError("a FakeQueue never waits")


class _Shelf:
    """A store that only keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[NewJob] = []
        self.batches: dict[str, NewBatch] = {}
        self.cancelled: dict[str, str] = {}
        self.paused: set[str] = set()

    def joinable(self) -> object | None:
        return None

    def join(self, session: object) -> object:
        return session

    async def insert(
        self, jobs: Sequence[NewJob], *, batches: Sequence[NewBatch] = (), within: object | None = None
    ) -> None:
        del within
        self._take(jobs, batches)

    def insert_blocking(self, jobs: Sequence[NewJob], *, batches: Sequence[NewBatch] = (), within: object) -> None:
        del within
        self._take(jobs, batches)

    def _take(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch]) -> None:
        self.records += jobs
        for batch in batches:
            self.batches[batch.id] = batch
            self.records += batch.callbacks

    async def batch(self, batch_id: str) -> BatchProgress | None:
        batch = self.batches.get(batch_id)
        if batch is None:
            return None
        now = datetime.now(UTC)
        return BatchProgress(batch_id, batch.total, batch.total, 0, 0, 0, 0, now, None if batch.total else now)

    async def get(self, job_id: str) -> JobRecord | None:
        return next((self._record(job) for job in self.records if job.id == job_id), None)

    async def jobs(self, wanted: JobFilter, limit: int, cursor: str | None = None) -> Page:
        found = [record for record in map(self._record, self.records) if _fits(record, wanted)]
        start = int(cursor or 0)
        more = len(found) > start + limit
        return Page(tuple(found[start : start + limit]), str(start + limit) if more else None)

    async def cancel(self, job_id: str, reason: str) -> None:
        await self._require(job_id)
        self.cancelled[job_id] = reason

    async def retry(self, job_id: str) -> None:
        record = await self._require(job_id)
        if self.cancelled.pop(job_id, None) is None:
            raise JobConflict(job_id, record.status, "only a failed or cancelled job can be retried")

    async def pause(self, queue: str) -> None:
        self.paused.add(queue)

    async def resume(self, queue: str) -> None:
        self.paused.discard(queue)

    async def purge(self, queue: str, limit: int, cursor: str | None = None) -> Purged:
        del cursor
        gone = [job for job in self.records if job.queue == queue and job.id not in self.cancelled][:limit]
        self.records = [job for job in self.records if job not in gone]
        return Purged(len(gone), "more" if len(gone) == limit else None)

    async def stats(self) -> Mapping[str, QueueStats]:
        counts: dict[str, Counter[str]] = {queue: Counter() for queue in self.paused}
        for job in self.records:
            later = job.delay is not None or job.due_at is not None or bool(job.position)
            state = "cancelled" if job.id in self.cancelled else "scheduled" if later else "pending"
            counts.setdefault(job.queue, Counter())[state] += 1
        return {
            queue: QueueStats(
                pending=count["pending"],
                scheduled=count["scheduled"],
                cancelled=count["cancelled"],
                paused=queue in self.paused,
            )
            for queue, count in counts.items()
        }

    async def _require(self, job_id: str) -> JobRecord:
        record = await self.get(job_id)
        if record is None:
            raise JobNotFound(job_id)
        return record

    def _record(self, job: NewJob) -> JobRecord:
        pending = _pending(job)
        if job.id not in self.cancelled:
            return pending
        return replace(pending, status="cancelled", note=self.cancelled[job.id], finished_at=datetime.now(UTC))


def _fits(record: JobRecord, wanted: JobFilter) -> bool:
    return (
        wanted.queue in {None, record.queue}
        and wanted.status in {None, record.status}
        and wanted.name in {None, record.name}
        and wanted.chain_id in {None, record.chain_id}
        and (wanted.batch_id is None or (wanted.batch_id == record.batch_id and record.batch_role == "member"))
    )


def _pending(job: NewJob) -> JobRecord:
    now = datetime.now(UTC)
    return JobRecord(
        id=job.id,
        name=job.name,
        queue=job.queue,
        status="pending",
        priority=job.priority,
        attempts=0,
        failures=0,
        deaths=0,
        max_retries=job.max_retries,
        timeout=job.timeout,
        created_at=now,
        available_at=job.due_at or now + timedelta(seconds=job.delay or 0),
        started_at=None,
        finished_at=None,
        error=None,
        result=None,
        payload=job.payload,
        meta=job.meta,
        note=None,
        progress=None,
        cancel_requested=False,
        chain_id=job.chain_id,
        position=job.position,
        batch_id=job.batch_id,
        batch_role=job.batch_role,
    )
