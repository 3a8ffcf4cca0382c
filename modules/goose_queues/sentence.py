"""What all sentences that dispatch have in common: jobs, options, and being sent once.

``dispatch``, ``chain`` and ``batch`` are the sentences, ``client`` makes them. Whatever is wrong with an option raises in the
line that gives it, before anything is stored.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self, TypeAlias

from goose_queues import payload, values
from goose_queues.config import Settings
from goose_queues.errors import PayloadError
from goose_queues.handle import BatchHandle, Completions, JobHandle
from goose_queues.job import Job, require_job
from goose_queues.pausing import reached
from goose_queues.record import BatchRole, NewBatch, NewJob
from goose_queues.registry import Registry
from goose_queues.status import View
from goose_queues.store import Store
from goose_queues.values import Duration, Unset

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

    AnySession: TypeAlias = AsyncSession | Session | AsyncConnection | Connection

META_LIMIT: Final = 8 * 1024
"""Bytes of JSON that ``meta`` may take."""
SHOWN_IDS: Final = 3


class Line(NamedTuple):
    """Where in the source a sentence was begun."""

    file: str
    number: int


class Defaults(NamedTuple):
    """What a job class says of its jobs, with the module's settings filled in."""

    name: str
    queue: str
    priority: int
    max_retries: int
    timeout: float | None


class Encoded(NamedTuple):
    """A job that has been found fit to be stored."""

    cls: type[Job]
    payload: str

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return len(self.payload) if self.payload.isascii() else len(self.payload.encode())


@dataclass(frozen=True, slots=True)
class Options:
    """What a sentence says of its jobs; what it does not say is left to the sentence around it, then to their class."""

    queue: str | None = None
    delay: float | None = None
    due_at: datetime | None = None
    priority: int | None = None
    max_retries: int | None = None
    timeout: float | Unset | None = values.UNSET
    meta: str | None = None

    def within(self, outer: Options) -> Options:
        """The same, with what is not said here taken from the sentence around it."""
        starts = self if self.delay is not None or self.due_at is not None else outer
        return Options(
            self.queue or outer.queue,
            starts.delay,
            starts.due_at,
            outer.priority if self.priority is None else self.priority,
            outer.max_retries if self.max_retries is None else self.max_retries,
            outer.timeout if self.timeout is values.UNSET else self.timeout,
            self.meta or outer.meta,
        )


SILENT: Final = Options()
"""What nearly every sentence says; one for all of them, as making it anew would be a tenth of a dispatch's own work."""


class Place(NamedTuple):
    """Where a job stands among others."""

    chain_id: str | None = None
    position: int | None = None
    batch_id: str | None = None
    batch_role: BatchRole | None = None


@dataclass(slots=True)
class Freight:
    """What one sentence stores."""

    jobs: list[NewJob] = field(default_factory=list)
    batches: list[NewBatch] = field(default_factory=list)


ALONE: Final = Place()


@dataclass(slots=True)
class Outbox:
    """What a sentence needs to be sent; one for each client."""

    store: Store
    settings: Settings
    registry: Registry
    completions: Completions
    view: View | None
    """How the statuses of what is sent are shown."""
    usable: Callable[[], None]
    """Refuses before the application has started and after it has stopped."""
    usable_here: Callable[[], None]
    """The same, and refuses on another event loop than the application's."""
    run_blocking: Callable[[Coroutine[Any, Any, Any]], Any]
    mentioned: Callable[[str], None]
    """Told each queue that something is dispatched to."""
    _defaults: dict[type[Job], Defaults] = field(default_factory=dict)

    def defaults(self, cls: type[Job]) -> Defaults:
        """The options of a class, once worked out."""
        found = self._defaults.get(cls)
        if found is None:
            found = self._defaults[cls] = _defaults(cls, self.settings)
        return found

    def encode(self, job: object) -> Encoded:
        """A job as it will be stored.

        Raises:
            TypeError: It is no job.
            UnregisteredJob: Its class is in no module's declarations.
            PayloadError: A field cannot be stored.
        """
        found = require_job(job)
        cls = type(found)
        self.registry.require(cls)
        return Encoded(cls, payload.encode(found, self.settings.max_payload_size))

    def encode_all(self, jobs: Iterable[object]) -> list[Encoded]:
        """Several; an error names the one: ``jobs[57]``."""
        encoded: list[Encoded] = []
        for job in jobs:
            try:
                encoded.append(self.encode(job))
            except (PayloadError, TypeError) as error:
                raise of_one(len(encoded), error) from error
        return encoded

    def record(self, job_id: str, encoded: Encoded, options: Options, place: Place = ALONE) -> NewJob:
        """A job with everything that is said of it."""
        name, queue, priority, max_retries, timeout = self.defaults(encoded.cls)
        queue = options.queue or queue
        self.mentioned(queue)
        return NewJob(
            job_id,
            name,
            queue,
            encoded.payload,
            priority if options.priority is None else options.priority,
            max_retries if options.max_retries is None else options.max_retries,
            timeout if options.timeout is values.UNSET else options.timeout,
            options.delay,
            options.due_at,
            options.meta,
            *place,
        )

    def handle(self, job_id: str) -> JobHandle:
        """What a dispatched job is watched by."""
        return JobHandle(job_id, self.store, self.completions, self.view)

    def batch_handle(self, batch_id: str, ids: Iterable[str]) -> BatchHandle:
        """What a dispatched batch is watched by."""
        return BatchHandle(batch_id, tuple(ids), self.store, self.completions, self.view)


def of_one(index: int, error: PayloadError | TypeError) -> Exception:
    """The same error, saying which of several jobs it is about."""
    if isinstance(error, PayloadError):
        return error.within(f"jobs[{index}]")
    return TypeError(f"jobs[{index}]: {error}")


class Sentence(ABC):
    """Jobs on their way; nothing is stored until it is sent."""

    __slots__ = ("_armed", "_line", "_options", "_outbox", "_sent", "_using", "_within")

    _ending: ClassVar[str] = "await it, or end it with .send()"

    def __init__(self, outbox: Outbox, line: Line) -> None:
        self._armed = True
        self._sent: str | None = None
        """What it has been sent as."""
        self._outbox = outbox
        self._line = line
        self._options = SILENT
        self._using = False
        self._within: object | None = None

    def delay(self, delay: Duration) -> Self:
        """Not before this much time has passed on the store's clock: a ``timedelta`` or seconds; not with ``at``."""
        with self._changing():
            if self._options.due_at is not None:
                raise ValueError("delay() and at() together: choose one")
            self._options = replace(self._options, delay=values.delay(delay, "delay()"))
        return self

    def at(self, when: datetime) -> Self:
        """Not before this time, an aware datetime; what has passed means now. Not with ``delay``."""
        with self._changing():
            if self._options.delay is not None:
                raise ValueError("delay() and at() together: choose one")
            self._options = replace(self._options, due_at=values.due_at(when))
        return self

    def on_queue(self, queue: str) -> Self:
        """To this queue, instead of the one that the class names."""
        with self._changing():
            self._options = replace(self._options, queue=values.queue_name(queue))
        return self

    def priority(self, priority: int) -> Self:
        """Higher runs first, -32768..32767."""
        with self._changing():
            self._options = replace(self._options, priority=values.priority(priority))
        return self

    def retries(self, retries: int) -> Self:
        """How many failed attempts are followed by another, 0..1000."""
        with self._changing():
            self._options = replace(self._options, max_retries=values.retries(retries, "retries()"))
        return self

    def timeout(self, timeout: Duration | None) -> Self:
        """For one attempt: a ``timedelta`` or seconds; None: no limit."""
        with self._changing():
            self._options = replace(self._options, timeout=values.timeout(timeout, "timeout()"))
        return self

    def meta(self, **meta: Any) -> Self:
        """Small JSON beside the payload, seen as ``ctx.meta`` and in listings."""
        with self._changing():
            self._options = replace(self._options, meta=payload.encode_json(meta, "meta", META_LIMIT))
        return self

    def using(self, session: AnySession | None) -> Self:
        """Within the transaction of this session or connection of yours; with None, on its own and at once.

        Raises:
            QueueError: The session cannot be joined, or None would wait for a write lock that this task holds itself.
        """
        with self._changing():
            self._within = self._outbox.store.join(session)
            self._using = True
        return self

    @abstractmethod
    def _what(self) -> str:
        """What a warning calls it."""

    @abstractmethod
    def _sent_as(self) -> str:
        """What it is called once it is sent."""

    @abstractmethod
    def _freight(self) -> Freight:
        """All that is to be stored."""

    async def _store(self) -> None:
        outbox = self._outbox
        self._begin()
        try:
            outbox.usable_here()
            within = self._within if self._using else outbox.store.joinable()
            freight = self._freight()
            await outbox.store.insert(freight.jobs, batches=freight.batches, within=within)
        except Exception:
            self._sent = None
            raise
        reached("insert.committed")

    def _send(self) -> None:
        outbox = self._outbox
        self._begin()
        try:
            outbox.usable()
            freight = self._freight()
            if self._within is not None:
                outbox.store.insert_blocking(freight.jobs, batches=freight.batches, within=self._within)
                return
            _refuse_in_loop()
            within = None if self._using else outbox.store.joinable()
            outbox.run_blocking(outbox.store.insert(freight.jobs, batches=freight.batches, within=within))
        except Exception:
            self._sent = None
            raise

    def _begin(self) -> None:
        self._refuse_again()
        self._armed = False
        self._sent = self._sent_as()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Around an option: while it may raise, the sentence must not complain that it was never sent."""
        self._refuse_again()
        self._armed = False
        yield
        self._armed = True

    def _refuse_again(self) -> None:
        if self._sent is not None:
            raise RuntimeError(f"already dispatched as {self._sent}")

    def __del__(self) -> None:
        if self._armed:
            file, number = self._line
            message = f"dispatch of {self._what()} was never sent ({_shown(file)}:{number}): {self._ending}"
            warnings.warn_explicit(message, RuntimeWarning, file, number, source=self)


def _defaults(cls: type[Job], settings: Settings) -> Defaults:
    options = cls.__goose_options__
    return Defaults(
        options.name,
        options.queue or settings.queue,
        options.priority,
        settings.default_retry_limit if options.max_retries is values.UNSET else options.max_retries,
        settings.default_timeout if options.timeout is values.UNSET else options.timeout,
    )


def _refuse_in_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("send() would block the event loop; await the dispatch")


def listed(ids: Sequence[str]) -> str:
    """Ids as an error shows them."""
    return ", ".join(ids) if len(ids) <= SHOWN_IDS else f"{ids[0]} to {ids[-1]}"


def _shown(file: str) -> str:
    """The path as a reader knows it: relative where it lies below the working directory."""
    try:
        near = os.path.relpath(file)
    except (OSError, ValueError):
        return file
    return file if near.startswith("..") else near
