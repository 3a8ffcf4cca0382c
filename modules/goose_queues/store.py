"""The one seam between the engine and the databases: what a store can do, in records and never in jobs.

Every method is atomic: it happens wholly or not at all. A store that does not answer raises ``StoreUnavailable``.
Methods are coroutines, except the two that other threads call: ``extend`` (the heartbeat's thread) and
``insert_blocking`` (a caller's own synchronous session).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from goose_queues.record import (
    BatchProgress,
    CancelRequest,
    Claim,
    Claimed,
    JobFilter,
    JobRecord,
    NewBatch,
    NewJob,
    Page,
    Pruned,
    Purged,
    QueueStats,
    Rescued,
    Settlement,
)


class Store(Protocol):
    """A place that keeps jobs."""

    async def open(self) -> None:
        """Connect, and make or check the stored layout; refuse in one line what cannot be worked with."""

    async def close(self) -> None:
        """Let go of every connection and thread; safe to call twice, and before ``open``."""

    async def check(self) -> None:
        """Return when the store answers, raise ``StoreUnavailable`` when not."""

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call ``listener`` with the queues that may have something new to claim; return what ends that.

        A hint, given after the commit, from any thread; it may come too often or not at all.
        """
        ...

    def joinable(self) -> object | None:
        """The transaction of the current scope or task that a dispatch made here and now belongs to.

        Cheap, called where the dispatch is made; the answer goes to ``insert`` as ``within``.
        """

    def join(self, session: object) -> object:
        """The same for a session that the caller names; refuses at once what cannot be joined."""

    async def insert(
        self, jobs: Sequence[NewJob], *, batches: Sequence[NewBatch] = (), within: object | None = None
    ) -> None:
        """Store all of it or nothing: on return it is durable, or part of the transaction ``within``."""

    def insert_blocking(self, jobs: Sequence[NewJob], *, batches: Sequence[NewBatch] = (), within: object) -> None:
        """``insert`` in place, for a transaction of synchronous code, on its own thread."""

    async def claim(self, claim: Claim) -> Claimed:
        """Take due jobs of one queue under new leases, attempt + 1."""
        ...

    def extend(
        self,
        tokens: Mapping[str, str],
        lease: float,
        *,
        blameless: frozenset[str] = frozenset(),
        limited: frozenset[str] = frozenset(),
    ) -> frozenset[str]:
        """Renew the leases of these jobs (id to token); return the ids whose lease was lost. Blocks; any thread.

        If this worker dies, a death is counted for each job, but not for those in ``blameless``: jobs that it has not
        started, and threads that a shutdown leaves behind. A lease that has lapsed and that nobody has
        rescued is extended like any other, but not of those in ``limited``: their slots may have been given away.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        """Write outcomes in one transaction; return the ids whose lease was lost, for which nothing was written.

        What follows from them is a part of it: the next link of a chain, the rest of a broken one, the callbacks of a
        batch. A job whose cancellation was asked for does not come back: instead of waiting again it is cancelled.
        """
        ...

    async def progress(self, job_id: str, token: str, progress: str) -> bool:
        """Keep what a running attempt tells of itself, as JSON text; False where its lease is lost."""
        ...

    async def rescue(self, limit: int, max_deaths: int) -> Rescued:
        """Give jobs with an expired lease back, at most ``limit`` of them, each fenced by the lease that was seen."""
        ...

    async def prune(self, retention: float, limit: int, cursor: str | None = None) -> Pruned:
        """Look at ``limit`` jobs that finished more than ``retention`` seconds ago, and delete what may go.

        What belongs to a chain or batch with something left to run stays.
        """
        ...

    async def cancel(self, job_id: str, reason: str) -> None:
        """End a job that is pending, with what follows for its chain and batch; ask a running one to end.

        Raises:
            JobNotFound: There is none of this id.
            JobConflict: It has completed or failed.
        """

    async def cancel_requests(self) -> Sequence[CancelRequest]:
        """The running jobs that somebody wants to end, in all processes."""
        ...

    async def retry(self, job_id: str) -> None:
        """Put a failed or cancelled job back, with its whole budget of retries.

        Links that its end had cancelled wait for it again, and its batch is not over any more.

        Raises:
            JobNotFound: There is none of this id.
            JobConflict: It is neither failed nor cancelled, or a link before it in its chain is.
        """

    async def pause(self, queue: str) -> None:
        """Let no claim take anything from a queue, in any process, until ``resume``; what runs goes on."""

    async def resume(self, queue: str) -> None:
        """The end of ``pause``."""

    async def purge(self, queue: str, limit: int, cursor: str | None = None) -> Purged:
        """Delete at most ``limit`` pending jobs of a queue that were there when the purge began.

        For their chains and batches they count as cancelled; the callbacks which that brings about stay.
        """
        ...

    async def get(self, job_id: str) -> JobRecord | None:
        """One job, whole; None where there is none of that id, whatever the text."""
        ...

    async def stats(self) -> Mapping[str, QueueStats]:
        """Counts of every queue that has a row."""
        ...

    async def jobs(self, wanted: JobFilter, limit: int, cursor: str | None = None) -> Page:
        """At most ``limit`` jobs: what runs, what is next, what is due later, then what has finished, newest first.

        Raises:
            InvalidFilter: ``cursor`` is none that an earlier page with the same filter gave.
        """
        ...

    async def batch(self, batch_id: str) -> BatchProgress | None:
        """How far a batch is; None where there is none of that id, whatever the text."""
        ...
