"""What tests of an application use: a queue that only records, the drain, a clock that stands still.

``drain(kernel)`` runs what is due; ``FakeQueue`` goes in place of the ``Client``, ``FrozenClock`` of the ``Clock``::

    async with goose.running(app, overrides={Client: (queue := FakeQueue())}) as kernel: ...
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from goose.kernel import Kernel
from goose_queues import payload
from goose_queues.client import Client
from goose_queues.clock import Clock
from goose_queues.config import Settings
from goose_queues.drain import DrainReport, drain
from goose_queues.handle import Completions
from goose_queues.job import Job
from goose_queues.readiness import Readiness
from goose_queues.record import BatchProgress, JobRecord, NewBatch, NewJob, QueueStats
from goose_queues.registry import Registry
from goose_queues.store import Store

__all__ = ["DrainReport", "FakeQueue", "FrozenClock", "drain"]

J = TypeVar("J", bound=Job)
T = TypeVar("T")


class FakeQueue(Client):
    """Records what is dispatched and runs nothing; jobs and options are checked as the real one does.

    What is dispatched within a transaction is recorded at once, whether it commits or not.
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
            cast("Kernel", self._loose),
        )
        self._open = True

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
        return next((_pending(job) for job in self.records if job.id == job_id), None)

    async def stats(self) -> Mapping[str, QueueStats]:
        now = [job.queue for job in self.records if job.delay is None and job.due_at is None]
        later = [job.queue for job in self.records if job.delay is not None or job.due_at is not None]
        return {q: QueueStats(pending=now.count(q), scheduled=later.count(q)) for q in {*now, *later}}


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
