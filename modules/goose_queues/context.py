"""What a handler is handed beside its services: who it is, what it may ask for, and how it steers its own end.

Made by ``runner``, one for each attempt. It knows no store: what reaches beyond the process comes as callables.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

from typing_extensions import TypeForm

from goose_queues.errors import CorruptRow
from goose_queues.record import ClaimedJob
from goose_queues.redact import one_line
from goose_queues.signals import CancelSignal, RetrySignal, SnoozeSignal
from goose_queues.values import Duration, delay, due_at

if TYPE_CHECKING:
    from goose_queues.client import Client
    from goose_queues.job import Job

T = TypeVar("T")

LOGGER: Final = logging.getLogger("goose_queues.job")


class Reports(Protocol):
    """What a running attempt tells the store; made by ``module``, so that running a job touches no store."""

    async def progress(self, claimed: ClaimedJob, done: float, total: float | None, note: str) -> None:
        """Keep how far it is. Raises ``LeaseLost``."""

    async def heartbeat(self, claimed: ClaimedJob) -> None:
        """Extend its lease now. Raises ``LeaseLost``."""


class JobContext:
    """One attempt of one job, as its handler, its middleware and its ``on_failure`` see it."""

    __slots__ = ("_claimed", "_client", "_find", "_log", "_meta", "_reports", "job")

    def __init__(
        self,
        claimed: ClaimedJob,
        job: Job,
        *,
        find: Callable[[Any], Any],
        client: Callable[[], Any],
        reports: Reports,
    ) -> None:
        self.job: Job = job
        """The job itself, made anew from its payload for each attempt."""
        self._claimed = claimed
        self._find = find
        self._client = client
        self._reports = reports
        self._log: JobLog | None = None
        self._meta: Any = None

    @property
    def job_id(self) -> str:
        """A UUIDv7; the same for every attempt."""
        return self._claimed.id

    @property
    def job_name(self) -> str:
        """The stored name."""
        return self._claimed.name

    @property
    def queue(self) -> str:
        """The queue that the job was claimed from."""
        return self._claimed.queue

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._claimed.attempt

    @property
    def max_retries(self) -> int:
        """How many failed attempts are followed by another."""
        return self._claimed.max_retries

    @property
    def dispatched_at(self) -> datetime:
        """When it was stored, by the store's clock, in UTC."""
        return self._claimed.dispatched_at

    @property
    def meta(self) -> dict[str, Any]:
        """The small data that was dispatched beside the payload.

        Raises:
            CorruptRow: It is something else, which only a hand can have written.
        """
        if self._meta is None:
            self._meta = _decoded(self._claimed)
        meta: dict[str, Any] = self._meta
        return meta

    @property
    def client(self) -> Client:
        """The queue, to dispatch further jobs."""
        client: Client = self._client()
        return client

    @property
    def log(self) -> JobLog:
        """A logger whose records carry ``job_id``, ``job_name``, ``queue`` and ``attempt``."""
        if self._log is None:
            self._log = JobLog(self._claimed)
        return self._log

    @overload
    def get(self, key: str) -> Any: ...
    @overload
    def get(self, key: TypeForm[T]) -> T: ...
    def get(self, key: Any) -> Any:
        """An instance by its type, its declared name, or its class's snake_case name, as the job's module sees it."""
        return self._find(key)

    async def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell how far the job is, for whoever asks for its status; on return it is stored.

        A small write to the store: tell each percent, not each row. In a plain ``def`` handler:
        ``anyio.from_thread.run(ctx.progress, done, total)``.

        Raises:
            ValueError: A number is negative or not finite.
            LeaseLost: Another worker may be running the job.
        """
        await self._reports.progress(self._claimed, _amount(done, "done"), _amount(total, "total"), one_line(note))

    async def heartbeat(self) -> None:
        """Extend the lease now, and learn whether it still holds; leases are extended by themselves all the while.

        Raises:
            LeaseLost: Another worker may be running the job.
        """
        await self._reports.heartbeat(self._claimed)

    def retry(self, *, after: Duration | None = None) -> RetrySignal:
        """What to raise to fail this attempt and have the next one ``after`` this time; counts against ``max_retries``."""
        return RetrySignal(None if after is None else delay(after, "retry(after=)"))

    def snooze(self, until: datetime | Duration) -> SnoozeSignal:
        """What to raise to be run again later; the attempt is refunded."""
        if isinstance(until, datetime):
            return SnoozeSignal(until=due_at(until, "snooze()"))
        return SnoozeSignal(delay=delay(until, "snooze()"))

    def cancel(self, reason: str) -> CancelSignal:
        """What to raise to end the job as ``cancelled``."""
        return CancelSignal(reason)


def _decoded(claimed: ClaimedJob) -> dict[str, Any]:
    if not claimed.meta:
        return {}
    try:
        meta = json.loads(claimed.meta)
    except (ValueError, RecursionError) as error:
        raise CorruptRow(claimed.name, "meta", f"Invalid JSON: {error}") from None
    if not isinstance(meta, dict):
        raise CorruptRow(claimed.name, "meta", "Input should be an object")
    return meta


@overload
def _amount(value: float, what: str) -> float: ...
@overload
def _amount(value: float | None, what: str) -> float | None: ...
def _amount(value: float | None, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"progress({what}=) must be a number, not {type(value).__name__}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"progress({what}=) must be finite and not negative, not {value!r}")
    return value


class JobLog(logging.LoggerAdapter[logging.Logger]):
    """Adds a job's facts to each record, beside what the caller adds."""

    def __init__(self, claimed: ClaimedJob, logger: logging.Logger = LOGGER) -> None:
        super().__init__(logger)
        self._claimed = claimed

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the two extras; the job's own facts win."""
        kwargs["extra"] = {**kwargs.get("extra", {}), **job_facts(self._claimed)}
        return msg, kwargs


def job_facts(claimed: ClaimedJob) -> dict[str, object]:
    """What a log record says of a job, in one line each."""
    return {
        "job_id": one_line(claimed.id),
        "job_name": one_line(claimed.name),
        "queue": one_line(claimed.queue),
        "attempt": claimed.attempt,
    }
