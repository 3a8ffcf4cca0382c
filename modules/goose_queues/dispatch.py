"""The sentence that dispatches: ``dispatch(job).delay(60).on_queue("bulk")``, stored when it is awaited or sent.

Made by ``client``. Whatever is wrong with an option raises in the line that gives it, before anything is stored.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias

from goose_queues import payload, values
from goose_queues.config import Settings
from goose_queues.handle import Completions, JobHandle
from goose_queues.ids import new_id
from goose_queues.job import Job
from goose_queues.record import NewJob
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


class Encoded(NamedTuple):
    """A job that has been found fit to be stored."""

    cls: type[Job]
    payload: str


class Defaults(NamedTuple):
    """What a job class says of its jobs, with the module's settings filled in."""

    name: str
    queue: str
    priority: int
    max_retries: int
    timeout: float | None


@dataclass(slots=True)
class Outbox:
    """What a sentence needs to be sent; one for each client."""

    store: Store
    settings: Settings
    completions: Completions
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


class Sentence:
    """What all dispatches have in common: jobs, options, and being sent once."""

    __slots__ = (
        "_armed",
        "_delay",
        "_due_at",
        "_encoded",
        "_ids",
        "_line",
        "_max_retries",
        "_meta",
        "_outbox",
        "_priority",
        "_queue",
        "_sent",
        "_timeout",
        "_using",
        "_what",
        "_within",
    )

    def __init__(self, outbox: Outbox, line: Line, what: str, encoded: Sequence[Encoded]) -> None:
        self._armed = True
        self._sent = False
        self._outbox = outbox
        self._line = line
        self._what = what
        self._encoded = encoded
        self._ids = [new_id() for _ in encoded]
        self._queue: str | None = None
        self._delay: float | None = None
        self._due_at: datetime | None = None
        self._priority: int | None = None
        self._max_retries: int | None = None
        self._timeout: float | Unset | None = values.UNSET
        self._meta: str | None = None
        self._using = False
        self._within: object | None = None

    def delay(self, delay: Duration) -> Self:
        """Not before this much time has passed on the store's clock: a ``timedelta`` or seconds; not with ``at``."""
        self._change()
        if self._due_at is not None:
            raise ValueError("delay() and at() together: choose one")
        self._delay = values.delay(delay, "delay()")
        return self._changed()

    def at(self, when: datetime) -> Self:
        """Not before this time, an aware datetime; what has passed means now. Not with ``delay``."""
        self._change()
        if self._delay is not None:
            raise ValueError("delay() and at() together: choose one")
        self._due_at = values.due_at(when)
        return self._changed()

    def on_queue(self, queue: str) -> Self:
        """To this queue, instead of the one that the class names."""
        self._change()
        self._queue = values.queue_name(queue)
        return self._changed()

    def priority(self, priority: int) -> Self:
        """Higher runs first, -32768..32767."""
        self._change()
        self._priority = values.priority(priority)
        return self._changed()

    def retries(self, retries: int) -> Self:
        """How many failed attempts are followed by another, 0..1000."""
        self._change()
        self._max_retries = values.retries(retries, "retries()")
        return self._changed()

    def timeout(self, timeout: Duration | None) -> Self:
        """For one attempt: a ``timedelta`` or seconds; None: no limit."""
        self._change()
        self._timeout = values.timeout(timeout, "timeout()")
        return self._changed()

    def meta(self, **meta: Any) -> Self:
        """Small JSON beside the payload, seen as ``ctx.meta`` and in listings."""
        self._change()
        self._meta = payload.encode_json(meta, "meta", META_LIMIT)
        return self._changed()

    def using(self, session: AnySession | None) -> Self:
        """Within the transaction of this session or connection of yours; with None, on its own and at once.

        Raises:
            QueueError: The session cannot be joined, or None would wait for a write lock that this task holds itself.
        """
        self._change()
        self._within = self._outbox.store.join(session)
        self._using = True
        return self._changed()

    async def _store(self) -> None:
        outbox = self._outbox
        self._begin()
        try:
            outbox.usable_here()
            within = self._within if self._using else outbox.store.joinable()
            await outbox.store.insert(self._records(), within=within)
        except Exception:
            self._sent = False
            raise

    def _send(self) -> None:
        outbox = self._outbox
        self._begin()
        try:
            outbox.usable()
            if self._within is not None:
                outbox.store.insert_blocking(self._records(), within=self._within)
                return
            _refuse_in_loop()
            within = None if self._using else outbox.store.joinable()
            outbox.run_blocking(outbox.store.insert(self._records(), within=within))
        except Exception:
            self._sent = False
            raise

    def _begin(self) -> None:
        self._refuse_again()
        self._armed = False
        self._sent = True

    def _change(self) -> None:
        """Before an option: while it may raise, the sentence must not complain that it was never sent."""
        self._refuse_again()
        self._armed = False

    def _changed(self) -> Self:
        self._armed = True
        return self

    def _refuse_again(self) -> None:
        if self._sent:
            raise RuntimeError(f"already dispatched as {_listed(self._ids)}")

    def _records(self) -> Sequence[NewJob]:
        return [self._record(job_id, encoded) for job_id, encoded in zip(self._ids, self._encoded, strict=True)]

    def _record(self, job_id: str, encoded: Encoded) -> NewJob:
        name, queue, priority, max_retries, timeout = self._outbox.defaults(encoded.cls)
        queue = self._queue or queue
        self._outbox.mentioned(queue)
        return NewJob(
            job_id,
            name,
            queue,
            encoded.payload,
            priority if self._priority is None else self._priority,
            max_retries if self._max_retries is None else self._max_retries,
            timeout if self._timeout is values.UNSET else self._timeout,
            self._delay,
            self._due_at,
            self._meta,
        )

    def _handles(self) -> list[JobHandle]:
        outbox = self._outbox
        return [JobHandle(job_id, outbox.store, outbox.completions) for job_id in self._ids]

    def __del__(self) -> None:
        if self._armed:
            file, number = self._line
            message = (
                f"dispatch of {self._what} was never sent ({_shown(file)}:{number}): await it, or end it with .send()"
            )
            warnings.warn_explicit(message, RuntimeWarning, file, number, source=self)


class PendingDispatch(Sentence):
    """One job on its way; nothing is stored until it is awaited or sent."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, JobHandle]:
        yield from self._store().__await__()
        return self._handles()[0]

    def send(self) -> JobHandle:
        """Store it from plain ``def`` code and wait until that is done; from any thread but the event loop's.

        Within the transaction of a ``Session`` or ``Connection`` (``using``) it is stored in place.

        Raises:
            RuntimeError: It would block the event loop, has been dispatched already, or nothing is running.
        """
        self._send()
        return self._handles()[0]


class PendingDispatches(Sentence):
    """Several jobs on their way, all or nothing; the options hold for each of them."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, list[JobHandle]]:
        yield from self._store().__await__()
        return self._handles()

    def send(self) -> list[JobHandle]:
        """The same as ``PendingDispatch.send``, for all jobs at once."""
        self._send()
        return self._handles()


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


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids) if len(ids) <= SHOWN_IDS else f"{ids[0]} to {ids[-1]}"


def _shown(file: str) -> str:
    """The path as a reader knows it: relative where it lies below the working directory."""
    try:
        near = os.path.relpath(file)
    except (OSError, ValueError):
        return file
    return file if near.startswith("..") else near
