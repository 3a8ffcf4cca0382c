"""Client: what an application injects to dispatch jobs and to watch them.

Declared and exported by ``module``; one for each boot.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from goose.errors import NotRunning
from goose.kernel import Kernel
from goose_queues.batch import Member, PendingBatch
from goose_queues.chain import Link, PendingChain
from goose_queues.clock import Clock
from goose_queues.config import Settings
from goose_queues.dispatch import PendingDispatch, PendingDispatches
from goose_queues.errors import JobNotFound
from goose_queues.handle import Completions, progress_of
from goose_queues.job import Job
from goose_queues.listing import JobListing
from goose_queues.readiness import Readiness
from goose_queues.record import BatchProgress, JobFilter, JobRecord, Status
from goose_queues.redact import one_line
from goose_queues.registry import Registry
from goose_queues.sentence import Line, Outbox
from goose_queues.status import JobStatus, Stats, View, stats_of, status_of
from goose_queues.store import Store
from goose_queues.values import queue_name

log = logging.getLogger("goose_queues.client")

M = TypeVar("M")

PURGED: Final = 1_000
"""Jobs at most that one transaction of a purge deletes."""


class Client:
    """The queue, as an application sees it."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: Settings,
        completions: Completions,
        readiness: Readiness,
        clock: Clock,
        kernel: Kernel,
    ) -> None:
        self._store = store
        self._kernel = kernel
        self._readiness = readiness
        self._open = False
        self._known = _known_queues(registry, settings)
        """Queues that somebody is expected to serve, and those that have been spoken of as served by nobody."""
        self._queues = frozenset(self._known)
        self._outbox = Outbox(
            store,
            settings,
            registry,
            completions,
            View(registry.names, self._queues, clock.now),
            self._refuse_closed,
            self._refuse_elsewhere,
            kernel.run_blocking,
            self._mentioned,
        )

    async def on_boot(self) -> None:
        """Open the store; from here on jobs can be dispatched."""
        await self._store.open()
        self._readiness.add(self._store)
        self._open = True

    async def on_shutdown(self) -> None:
        """Refuse whatever is dispatched from here on."""
        self._open = False
        self._readiness.discard(self._store)

    def dispatch(self, job: Job) -> PendingDispatch:
        """Begin the sentence that stores a job; it ends with ``await``, or with ``.send()`` in plain ``def`` code.

        Raises:
            TypeError: It is no job.
            UnregisteredJob: Its class is in no module's declarations.
            PayloadError: A field cannot be stored.
        """
        return PendingDispatch(self._outbox, _caller(), (self._outbox.encode(job),))

    def dispatch_many(self, jobs: Iterable[Job]) -> PendingDispatches:
        """Begin the sentence that stores several jobs: all of them or none.

        Raises:
            TypeError: One of them is no job.
            UnregisteredJob: The class of one is in no module's declarations.
            PayloadError: A field of one cannot be stored; the path begins with ``jobs[57]``.
        """
        encoded = self._outbox.encode_all(_several(jobs, "dispatch_many"))
        return PendingDispatches(self._outbox, _caller(), encoded)

    def chain(self, *links: Link) -> PendingChain:
        """Begin the sentence that stores jobs to be run one after the other; it ends with ``await .dispatch()``.

        A link may be a ``batch(...)`` of jobs: the next one starts when all its members have completed.

        Raises:
            ValueError: There is no link, or one that cannot stand there.
            ChainTooLong: There are more than 1,000.
            TypeError: One of them is no job. The other errors are those of ``dispatch_many``.
        """
        return PendingChain(self._outbox, _caller(), links)

    def batch(self, members: Iterable[Member]) -> PendingBatch:
        """Begin the sentence that stores jobs which are counted together; it ends with ``await .dispatch()``.

        A member may be a ``chain(...)`` of jobs; then each of those counts.

        Raises:
            BatchTooLarge: There are more than 100,000 jobs, or 64 MiB of payload.
            TypeError: One of them is no job. The other errors are those of ``dispatch_many``.
        """
        return PendingBatch(self._outbox, _caller(), _several(members, "batch"))

    async def get_status(self, job_id: str) -> JobStatus:
        """What the store knows of a job, without its payload.

        Raises:
            JobNotFound: There is none of this id, whatever the text.
        """
        return self._shown(await self.get_record(job_id))

    async def get_record(self, job_id: str) -> JobRecord:
        """All that the store knows of a job, its payload and the traceback of its error too: for operators, not for users.

        Raises:
            JobNotFound: There is none of this id, whatever the text.
        """
        record = await self._store.get(str(job_id))
        if record is None:
            raise JobNotFound(job_id)
        return record

    async def get_batch(self, batch_id: str) -> BatchProgress:
        """How far a batch is.

        Raises:
            BatchNotFound: There is none of this id, whatever the text.
        """
        return await progress_of(self._store, str(batch_id))

    def jobs(
        self,
        *,
        queue: str | None = None,
        status: Status | None = None,
        name: str | None = None,
        chain: str | None = None,
        batch: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> JobListing:
        """List jobs: what runs, what is next, what is due later, then what has finished, newest first.

        Args:
            queue: Only of this queue.
            status: Only in this state.
            name: Only of this stored name. It is looked for among the others, so it is slow in a long listing.
            chain: Only links of the chain of this id, in their order.
            batch: Only members of the batch of this id.
            limit: So many at most; None: all.
            cursor: Go on where a listing with the same filter ended: its ``cursor``.

        Raises:
            InvalidFilter: An argument is not what it may be.
        """
        return JobListing(self._store, self._shown, JobFilter(queue, status, name, chain, batch), limit, cursor)

    async def retry(self, job_id: str) -> None:
        """Put a failed or cancelled job back, due at once and with its whole budget of retries.

        Links of its chain that its end had cancelled wait for it again; callbacks of its batch never run a second time.

        Raises:
            JobNotFound: There is none of this id.
            JobConflict: It is neither failed nor cancelled, or a link before it has to be retried first.
        """
        await self._store.retry(str(job_id))

    async def cancel(self, job_id: str, reason: str = "cancelled by request") -> None:
        """End a job: one that is pending never runs, one that runs is told to end within a second.

        An ``async`` job is cancelled in its task, a thread job gets ``JobCancelled`` raised when it runs Python code
        again; until it has ended its status has ``cancel_requested``. For a chain or batch it has not completed.

        Raises:
            JobNotFound: There is none of this id.
            JobConflict: It has completed or failed.
        """
        await self._store.cancel(str(job_id), one_line(str(reason)))

    async def pause(self, queue: str) -> None:
        """Let no worker claim anything from a queue until ``resume``, in any process, restarts included. What runs goes on."""
        await self._store.pause(queue_name(queue))

    async def resume(self, queue: str) -> None:
        """Let workers claim from a queue again."""
        await self._store.resume(queue_name(queue))

    async def purge(self, queue: str, *, deleted: Callable[[int], object] | None = None) -> int:
        """Delete everything that is pending in a queue, in chunks; how many jobs. What runs or has finished stays.

        Args:
            queue: Its name.
            deleted: Called after each chunk, with how many jobs that was.
        """
        purged = await self._store.purge(queue_name(queue), PURGED)
        total = 0
        while True:
            total += purged.deleted
            if deleted is not None:
                deleted(purged.deleted)
            if purged.cursor is None:
                return total
            purged = await self._store.purge(queue, PURGED, purged.cursor)

    async def stats(self) -> Stats:
        """Counts by queue; a queue that has no job reads as zeros."""
        return stats_of(self._queues, await self._store.stats())

    def _shown(self, record: JobRecord) -> JobStatus:
        return status_of(record, self._outbox.view)

    def _refuse_closed(self) -> None:
        if not self._open:
            raise NotRunning(
                "the queue is not running: dispatch after goose.start() or goose.running() has booted the application, "
                "and before it has stopped"
            )

    def _refuse_elsewhere(self) -> None:
        self._refuse_closed()
        if asyncio.get_running_loop() is not self._kernel.loop:
            raise RuntimeError(
                "this event loop is not the application's: call .send() from a plain thread, or await it on that loop"
            )

    def _mentioned(self, queue: str) -> None:
        if queue not in self._known:
            self._known.add(queue)
            log.warning(
                "no registered job and no setting names the queue %r: its jobs wait until a worker serves it",
                queue,
                extra={"queue": queue},
            )


def _known_queues(registry: Registry, settings: Settings) -> set[str]:
    named = settings.workers if isinstance(settings.workers, dict) else ()
    return {settings.queue, *registry.queues(settings.queue), *named, *(settings.queues or ())}


def _caller() -> Line:
    """The line that calls the method that calls this."""
    frame = sys._getframe(2)  # noqa: SLF001 - a traceback would be walked to its end for one line
    return Line(frame.f_code.co_filename, frame.f_lineno)


def _several(jobs: Iterable[M], method: str) -> Iterable[M]:
    # A job can be iterated over: it is a pydantic model.
    if isinstance(jobs, Job):
        raise TypeError(f"{method}() takes several jobs; use dispatch({type(jobs).__name__}(...))")
    if not isinstance(jobs, Iterable):
        raise TypeError(f"{method}() takes several jobs, not {type(jobs).__name__}")
    return jobs
