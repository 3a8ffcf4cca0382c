"""The shapes in which a job travels between engine and store: plain frozen data, no behaviour.

``NewJob`` goes in, ``ClaimedJob`` comes out with a lease, ``Outcome`` goes back, ``JobRecord`` is what anyone may read.
Times are aware datetimes in UTC, durations are seconds, payloads and results are JSON text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["pending", "processing", "completed", "failed", "cancelled"]
"""What a user sees. ``pending`` covers what is due, what is due later and what waits for its turn in a chain."""

BatchRole: TypeAlias = Literal["member", "then", "catch", "finally"]


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job on its way into the store; made by ``dispatch``, read by ``Store.insert``."""

    id: str
    """A UUIDv7, made by the client, so that it is known before the insert."""
    name: str
    queue: str
    payload: str
    """JSON text of the job's fields."""
    priority: int
    max_retries: int
    timeout: float | None
    """Seconds for one attempt; None: no limit."""
    delay: float | None = None
    """Seconds after the store's own now; never together with ``due_at``."""
    due_at: datetime | None = None
    meta: str | None = None
    """JSON text of the small data beside the payload."""
    chain_id: str | None = None
    position: int | None = None
    """Place in the chain, from 0; a link above 0 waits until the one before has completed."""
    batch_id: str | None = None
    batch_role: BatchRole | None = None
    unique_key: str | None = None


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch on its way into the store, beside its members; made by ``batch``, read by ``Store.insert``."""

    id: str
    total: int
    """Members; 0: it is over as soon as its turn comes."""
    callbacks: tuple[NewJob, ...] = ()
    """Stored with it, each made a job by the settlement that its ``batch_role`` waits for."""
    chain_id: str | None = None
    """Set where the batch is a link of a chain."""
    position: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that one worker holds under a lease; made by ``Store.claim``, proof for ``extend`` and ``settle``."""

    id: str
    name: str
    queue: str
    payload: str
    meta: str | None
    priority: int
    attempt: int
    """1 for the first; rises in the claim statement, so a crash counts."""
    failures: int
    """Failed attempts before this one."""
    deaths: int
    """Attempts before this one whose worker died."""
    max_retries: int
    timeout: float | None
    dispatched_at: datetime
    token: str
    """New with every claim; whoever does not hold it can neither extend nor settle."""
    chain_id: str | None = None
    position: int | None = None
    batch_id: str | None = None
    batch_role: BatchRole | None = None
    failed_with: ErrorRecord | None = None
    """Set where the job has failed for good and ``on_failure`` has not been called to its end: run that alone."""


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An exception as text that any store can hold: no NUL, no lone surrogate, cut to size."""

    type: str
    """The exception's class name."""
    message: str
    """At most 8 KiB."""
    traceback: str
    """At most 32 KiB, head and tail, without locals."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The handler returned."""

    result: str | None = None
    """JSON text of the return value; None where there was none or JSON could not hold it (``note`` says so)."""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed and another follows; counts against ``max_retries``."""

    delay: float
    """Seconds from the store's now to the next attempt."""
    error: ErrorRecord
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The handler asked to be called again later; the attempt is refunded."""

    delay: float | None = None
    """Seconds from the store's now; exactly one of ``delay`` and ``until`` is set."""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed and none follows."""

    error: ErrorRecord
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Doomed:
    """The attempt failed and none follows, but ``on_failure`` was cut off: whoever claims the job next calls it again."""

    error: ErrorRecord


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job was cancelled while it ran, or cancelled itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """Given back without a verdict, attempt refunded: never started, or interrupted by a shutdown."""


Outcome: TypeAlias = Completed | Retry | Snoozed | Failed | Doomed | Cancelled | Released


@dataclass(frozen=True, slots=True)
class Settlement:
    """One claimed job and what became of it; what ``Store.settle`` takes many of."""

    claimed: ClaimedJob
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker asks of the store."""

    queue: str
    names: frozenset[str]
    """The registered job names: what this process cannot run it does not claim."""
    limit: int
    lease: float
    """Seconds from the store's now until the claim lapses unless extended."""
    worker: str
    """The claiming process: a UUID per process start."""
    slots: int | None = None
    """How many of the jobs start at once; the others wait in the worker, and if it dies no death is counted for them
    until ``Store.extend`` has said otherwise. None: all start."""
    fleet_limit: int | None = None
    """How many jobs of the queue may be under a live lease at once, on all machines; None: any number."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a ``Claim``."""

    jobs: tuple[ClaimedJob, ...]
    """In the order in which they are to start: higher priority, earlier due time, smaller id first."""
    next_due: float | None
    """Seconds until the earliest job of the queue that is not due yet; None where there is none. A hint for sleeping."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """What one pass over expired leases did."""

    returned: int
    """Jobs whose worker died, given back to their queues."""
    failed: int
    """Jobs that have failed for good thereby: out of retries, or too many deaths."""
    queues: frozenset[str]
    """Queues that now have something to claim."""
    cancelled: int = 0
    """Jobs that were to be cancelled anyway."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Everything the store knows of one job; made by ``Store.get``."""

    id: str
    name: str
    queue: str
    status: Status
    priority: int
    attempts: int
    """Attempts begun; rises in the claim statement, refunded by release and snooze."""
    failures: int
    deaths: int
    max_retries: int
    timeout: float | None
    created_at: datetime
    available_at: datetime
    """When it may start: due time, or the time of the next attempt."""
    started_at: datetime | None
    """Start of the latest attempt."""
    finished_at: datetime | None
    error: ErrorRecord | None
    """Of the latest failed attempt."""
    result: str | None
    payload: str
    meta: str | None
    note: str | None
    progress: str | None
    """JSON text of the latest ``ctx.progress``."""
    cancel_requested: bool
    chain_id: str | None
    position: int | None
    batch_id: str | None
    batch_role: BatchRole | None = None


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Somebody wants a running job to end; made by ``Store.cancel_requests``."""

    job_id: str
    token: str
    """The claim that was running when this was read."""
    reason: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one chunk of a pruning did."""

    deleted: int
    cursor: str | None
    """Where the next chunk begins; None: everything that is old enough has been looked at."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What one chunk of a purge did."""

    deleted: int
    cursor: str | None
    """With what the next chunk goes on; None: nothing is left that was there when the purge began."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a listing is about; None: whatever."""

    queue: str | None = None
    status: Status | None = None
    name: str | None = None
    chain_id: str | None = None
    batch_id: str | None = None
    """Its members, without its callbacks."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing."""

    records: tuple[JobRecord, ...]
    cursor: str | None
    """Where the next page begins; None: this is the last."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """A batch at one moment; its jobs are counted, those of chains in it too, its callbacks are not."""

    id: str
    total: int
    pending: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    """Purged members included."""
    created_at: datetime
    finished_at: datetime | None
    """When none was left to run; None again after a retry of a member."""


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Counts of one queue at one moment."""

    pending: int = 0
    """Due now."""
    scheduled: int = 0
    """Due later, retries that wait and links of a chain that wait their turn included."""
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    paused: bool = False
    oldest_pending_at: datetime | None = None
    """Due time of the oldest job that is due."""
