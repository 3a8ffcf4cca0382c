"""Client: what an application injects to dispatch jobs and to watch them.

Declared and exported by ``module``; one for each boot.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable, Sequence
from weakref import WeakSet

from goose.errors import NotRunning
from goose.kernel import Kernel
from goose_queues import payload
from goose_queues.config import Settings
from goose_queues.dispatch import Encoded, Line, Outbox, PendingDispatch, PendingDispatches
from goose_queues.errors import JobNotFound, PayloadError
from goose_queues.handle import Completions
from goose_queues.job import Job, require_job
from goose_queues.registry import Registry
from goose_queues.status import JobStatus, Stats, stats_of, status_of
from goose_queues.store import Store

log = logging.getLogger("goose_queues.client")


class OpenStores(WeakSet[Store]):
    """The stores of the applications that run with one module; what its readiness check asks."""


class Client:
    """The queue, as an application sees it."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: Settings,
        completions: Completions,
        open_stores: OpenStores,
        kernel: Kernel,
    ) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._kernel = kernel
        self._open_stores = open_stores
        self._open = False
        self._known = _known_queues(registry, settings)
        """Queues that somebody is expected to serve, and those that have been spoken of as served by nobody."""
        self._queues = frozenset(self._known)
        self._outbox = Outbox(
            store,
            settings,
            completions,
            self._refuse_closed,
            self._refuse_elsewhere,
            kernel.run_blocking,
            self._mentioned,
        )

    async def on_boot(self) -> None:
        """Open the store; from here on jobs can be dispatched."""
        await self._store.open()
        self._open_stores.add(self._store)
        self._open = True

    async def on_shutdown(self) -> None:
        """Refuse whatever is dispatched from here on."""
        self._open = False
        self._open_stores.discard(self._store)

    def dispatch(self, job: Job) -> PendingDispatch:
        """Begin the sentence that stores a job; it ends with ``await``, or with ``.send()`` in plain ``def`` code.

        Raises:
            TypeError: It is no job.
            UnregisteredJob: Its class is in no module's declarations.
            PayloadError: A field cannot be stored.
        """
        encoded = self._encode(require_job(job))
        return PendingDispatch(self._outbox, _caller(), type(job).__name__, (encoded,))

    def dispatch_many(self, jobs: Iterable[Job]) -> PendingDispatches:
        """Begin the sentence that stores several jobs: all of them or none.

        Raises:
            TypeError: One of them is no job.
            UnregisteredJob: The class of one is in no module's declarations.
            PayloadError: A field of one cannot be stored; the path begins with ``jobs[57]``.
        """
        encoded = self._encode_all(_several(jobs))
        return PendingDispatches(self._outbox, _caller(), f"{len(encoded)} jobs", encoded)

    async def get_status(self, job_id: str) -> JobStatus:
        """What the store knows of a job, without its payload.

        Raises:
            JobNotFound: There is none of this id, whatever the text.
        """
        record = await self._store.get(str(job_id))
        if record is None:
            raise JobNotFound(job_id)
        return status_of(record, self._registry.names, _known_queues(self._registry, self._settings))

    async def stats(self) -> Stats:
        """Counts by queue; a queue that has no job reads as zeros."""
        return stats_of(self._queues, await self._store.stats())

    def _encode(self, job: Job) -> Encoded:
        cls = type(job)
        self._registry.require(cls)
        return Encoded(cls, payload.encode(job, self._settings.max_payload_size))

    def _encode_all(self, jobs: Iterable[Job]) -> Sequence[Encoded]:
        encoded: list[Encoded] = []
        for job in jobs:
            try:
                encoded.append(self._encode(require_job(job)))
            except PayloadError as error:
                raise error.within(f"jobs[{len(encoded)}]") from error
            except TypeError as error:
                raise TypeError(f"jobs[{len(encoded)}]: {error}") from error
        return encoded

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


def _several(jobs: Iterable[Job]) -> Iterable[Job]:
    # A job can be iterated over: it is a pydantic model.
    if isinstance(jobs, Job):
        raise TypeError(f"dispatch_many() takes several jobs; use dispatch({type(jobs).__name__}(...))")
    if not isinstance(jobs, Iterable):
        raise TypeError(f"dispatch_many() takes several jobs, not {type(jobs).__name__}")
    return jobs
