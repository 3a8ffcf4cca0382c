"""What a store has to do, said once more in plain Python from the promises: what the state machine compares it with.

Nothing here knows of tables. Time is the offset of the clock; ``Moment`` orders what happened at one offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from goose_queues.record import (
    BatchProgress,
    BatchRole,
    Cancelled,
    Completed,
    Failed,
    NewBatch,
    NewJob,
    Outcome,
    QueueStats,
    Released,
    Retry,
    Snoozed,
)

MAX_DEATHS = 3
SUSPECT = 2
"""Deaths with which a job is claimed alone."""

State: TypeAlias = Literal["pending", "waiting", "processing", "completed", "failed", "cancelled"]
Moment: TypeAlias = tuple[float, int]
"""The clock's offset, and the number of the operation: real time passes between two of them."""


class Conflict(Exception):
    """What ``JobConflict`` is to be raised for."""


@dataclass(eq=False)
class Job:
    new: NewJob
    state: State
    due: Moment
    attempts: int = 0
    failures: int = 0
    deaths: int = 0
    doomed: bool = False
    """It has failed for good by its deaths; ``on_failure`` is all that is left."""
    cancel_requested: bool = False
    token: str | None = None
    lease_end: float = 0
    blameless: bool = False
    finished: float | None = None
    broken_at: int | None = None
    """The position in its chain whose end has cancelled it."""
    gone: Literal["pruned", "purged"] | None = None

    @property
    def is_over(self) -> bool:
        return self.state in {"completed", "failed", "cancelled"}

    @property
    def order(self) -> tuple[int, Moment, str]:
        """Of claims."""
        return -self.new.priority, self.due, self.new.id

    @property
    def position(self) -> int:
        return self.new.position or 0


@dataclass(eq=False)
class Batch:
    new: NewBatch
    members: list[Job]
    """All that it ever had."""
    callbacks: dict[BatchRole, NewJob]
    """Those that have not been called."""
    finished: float | None = None
    broken_at: int | None = None
    gone: bool = False

    @property
    def is_link(self) -> bool:
        return self.new.chain_id is not None

    @property
    def is_over(self) -> bool:
        """Whether no member is left to run."""
        return all(member.is_over for member in self.members)

    @property
    def has_completed(self) -> bool:
        return all(member.state == "completed" for member in self.members)


@dataclass
class Model:
    now: float = 0.0
    operation: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    """Those that are there."""
    batches: dict[str, Batch] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    @property
    def moment(self) -> Moment:
        return self.now, self.operation

    # --- what comes in

    def insert(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch] = ()) -> None:
        for new in jobs:
            due = (self.now + (new.delay or 0), self.operation)
            self.jobs[new.id] = Job(new, "waiting" if new.position else "pending", due)
        for batch in batches:
            members = [self.jobs[new.id] for new in jobs if new.batch_id == batch.id]
            callbacks = {callback.batch_role: callback for callback in batch.callbacks if callback.batch_role}
            self.batches[batch.id] = Batch(batch, members, callbacks)
        for batch in batches:
            if not batch.total and not batch.position:
                self.judge(self.batches[batch.id])

    # --- what workers do

    def claimable(self, queue: str, names: frozenset[str], most: int, limit: int | None) -> list[Job]:
        """The jobs that a claim takes, in order."""
        if queue in self.paused:
            return []
        if limit is not None:
            most = min(most, limit - self.live(queue))
        due = sorted((job for job in self.due(queue) if job.new.name in names), key=lambda job: job.order)
        taken = due[: max(most, 0)]
        for place, job in enumerate(taken):
            if job.deaths >= SUSPECT:
                return taken[: place or 1]
        return taken

    def claimed(self, jobs: Sequence[Job], token: str, lease: float, slots: int | None) -> None:
        for place, job in enumerate(jobs):
            job.state, job.token, job.lease_end = "processing", token, self.now + lease
            job.blameless = slots is not None and place >= slots
            job.attempts += not job.doomed

    def extended(self, job: Job, lease: float) -> None:
        job.lease_end, job.blameless = self.now + lease, False

    def settle(self, pack: Iterable[tuple[Job, Outcome]]) -> None:
        ended = []
        for job, outcome in pack:
            self._leave(job)
            match outcome:
                case Completed():
                    ended.append(self._end(job, "completed"))
                case Failed():
                    job.failures += not job.doomed
                    ended.append(self._end(job, "failed"))
                case Cancelled():
                    ended.append(self._end(job, "cancelled"))
                case Retry():
                    job.failures += not job.doomed
                    ended += self._back(job, outcome.delay)
                case Snoozed():
                    ended += self._back(job, outcome.delay or 0, refunded=True)
                case Released():
                    ended += self._back(job, None, refunded=True)
        self.follow(ended)

    def rescue(self) -> tuple[int, int, int]:
        """Returned, failed, cancelled."""
        found = {"returned": 0, "failed": 0, "cancelled": 0}
        ended = []
        for job in self.in_state("processing"):
            if job.lease_end > self.now:
                continue
            blameless = job.blameless
            self._leave(job)
            job.deaths += not blameless
            job.attempts -= blameless and not job.doomed
            if job.cancel_requested:
                ended.append(self._end(job, "cancelled"))
                found["cancelled"] += 1
            elif job.doomed and job.deaths >= 2 * MAX_DEATHS:
                ended.append(self._end(job, "failed"))
                found["failed"] += 1
            else:
                newly = not job.doomed and not blameless and job.deaths >= MAX_DEATHS
                job.doomed = job.doomed or newly
                found["failed" if newly else "returned"] += 1
        self.follow(ended)
        return found["returned"], found["failed"], found["cancelled"]

    # --- what people do

    def cancel(self, job: Job) -> None:
        if job.state == "processing":
            job.cancel_requested = True
        elif job.state in {"pending", "waiting"}:
            self.follow([self._end(job, "cancelled")])
        elif job.state != "cancelled":
            raise Conflict

    def retry(self, job: Job) -> None:
        if job.state not in {"failed", "cancelled"}:
            raise Conflict
        before = [link for link in self.chain(job.new.chain_id) if link.position < job.position]
        if any(link.state in {"failed", "cancelled"} for link in before):
            raise Conflict
        job.state = "pending" if all(link.state == "completed" for link in before) else "waiting"
        job.due = self.moment
        job.failures = job.deaths = 0
        job.doomed = job.cancel_requested = False
        self._reopen(job)
        for link in self.chain(job.new.chain_id):
            if link.position > job.position and link.broken_at == job.position and link.state == "cancelled":
                link.state = "waiting"
                self._reopen(link)
        for batch in self.batches.values():
            same_chain = batch.is_link and batch.new.chain_id == job.new.chain_id
            if same_chain and not batch.members and batch.broken_at == job.position:
                batch.finished = batch.broken_at = None

    def purge(self, queue: str) -> int:
        pending = [job for job in self.jobs.values() if job.new.queue == queue and job.state in {"pending", "waiting"}]
        for job in pending:
            job.gone = "purged"
            del self.jobs[job.new.id]
            self._end(job, "cancelled")
        self.follow(pending)
        return len(pending)

    def prune(self, retention: float) -> int:
        before = self.now - retention
        old = [job for job in self.jobs.values() if self._may_go(job, before)]
        for job in old:
            job.gone = "pruned"
            del self.jobs[job.new.id]
        for batch_id, batch in list(self.batches.items()):
            empty = all(member.gone for member in batch.members)
            if empty and batch.finished is not None and batch.finished < before:
                batch.gone = True
                del self.batches[batch_id]
        return len(old)

    # --- what follows

    def follow(self, ended: Sequence[Job]) -> None:
        """Links first, the foremost first; then the batches."""
        for job in sorted(ended, key=lambda job: job.position):
            batch = self.batches.get(job.new.batch_id or "")
            if job.new.chain_id is not None and not (batch is not None and batch.is_link):
                if job.state == "completed":
                    self.proceed(job.new.chain_id, job.position)
                else:
                    self.break_off(job.new.chain_id, job.position)
        for job in ended:
            if job.new.batch_role == "member":
                batch = self.batches[job.new.batch_id or ""]
                if job.state == "failed":
                    self.call(batch, "catch")
                self.judge(batch, broken=job.state != "completed")

    def judge(self, batch: Batch, *, broken: bool = False) -> None:
        """Some members have ended, or it never had any."""
        if batch.is_over and batch.finished is None:
            batch.finished = self.now
            if batch.has_completed:
                self.call(batch, "then")
            self.call(batch, "finally")
            if batch.has_completed and batch.new.chain_id is not None:
                self.proceed(batch.new.chain_id, batch.new.position or 0)
        if batch.new.chain_id is not None and (broken or (batch.is_over and not batch.has_completed)):
            self.break_off(batch.new.chain_id, batch.new.position or 0)

    def proceed(self, chain: str, position: int) -> None:
        """The link at this position has completed: the next one that is there begins."""
        waiting = [link.position for link in self.chain(chain) if link.position > position and link.state == "waiting"]
        first = min(waiting, default=None)
        for batch in self._empty_links(chain):
            if (batch.new.position or 0) > position and (first is None or (batch.new.position or 0) < first):
                self.judge(batch)
                return
        for link in self.chain(chain):
            if link.position == first and link.state == "waiting":
                link.state, link.due = "pending", self.moment

    def break_off(self, chain: str, position: int) -> None:
        """The link at this position has not completed: what waits behind it is cancelled."""
        batches = []
        for link in self.chain(chain):
            if link.position > position and link.state == "waiting":
                self._end(link, "cancelled")
                link.broken_at = position
                if link.new.batch_role == "member":
                    batches.append(self.batches[link.new.batch_id or ""])
        for batch in self._empty_links(chain):
            if (batch.new.position or 0) > position:
                batch.finished, batch.broken_at = self.now, position
                self.call(batch, "finally")
        for batch in batches:
            self.judge(batch)

    def call(self, batch: Batch, role: BatchRole) -> None:
        """Once."""
        callback = batch.callbacks.pop(role, None)
        if callback is not None:
            self.jobs[callback.id] = Job(callback, "pending", self.moment)

    # --- what is to be seen

    def stats(self) -> dict[str, QueueStats]:
        """Without queues that read as zeros."""
        shown = {}
        for queue in {job.new.queue for job in self.jobs.values()} | self.paused:
            jobs = [job for job in self.jobs.values() if job.new.queue == queue]
            count = {state: sum(job.state == state for job in jobs) for state in ("processing", "completed")}
            due = len(self.due(queue))
            shown[queue] = QueueStats(
                pending=due,
                scheduled=sum(job.state in {"pending", "waiting"} for job in jobs) - due,
                processing=count["processing"],
                completed=count["completed"],
                failed=sum(job.state == "failed" for job in jobs),
                cancelled=sum(job.state == "cancelled" for job in jobs),
                paused=queue in self.paused,
            )
        return shown

    def progress(self, batch: Batch, like: BatchProgress) -> BatchProgress:
        """With the times of ``like``, which only a clock knows."""
        count = {
            state: sum(member.state == state for member in batch.members)
            for state in ("processing", "completed", "failed", "cancelled")
        }
        assert (like.finished_at is None) == (batch.finished is None)
        pending = batch.new.total - sum(count.values())
        return BatchProgress(
            id=batch.new.id,
            total=batch.new.total,
            pending=pending,
            created_at=like.created_at,
            finished_at=like.finished_at,
            **count,
        )

    def due(self, queue: str) -> list[Job]:
        return [job for job in self.in_state("pending") if job.new.queue == queue and job.due[0] <= self.now]

    def live(self, queue: str) -> int:
        """Leases of this queue that have not ended."""
        return sum(job.new.queue == queue and job.lease_end > self.now for job in self.in_state("processing"))

    def in_state(self, *states: State) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in states]

    def chain(self, chain_id: str | None) -> list[Job]:
        """The links that are there, those of batches too."""
        return [job for job in self.jobs.values() if chain_id is not None and job.new.chain_id == chain_id]

    # --- small steps

    def _leave(self, job: Job) -> None:
        """Its lease is over."""
        job.state, job.token, job.blameless = "pending", None, False

    def _back(self, job: Job, delay: float | None, *, refunded: bool = False) -> list[Job]:
        """Into its queue, unless somebody has asked for its end."""
        if job.cancel_requested:
            return [self._end(job, "cancelled")]
        job.attempts -= refunded and not job.doomed
        if delay is not None:
            job.due = (self.now + delay, self.operation)
        return []

    def _end(self, job: Job, state: State) -> Job:
        job.state, job.finished = state, self.now
        return job

    def _reopen(self, job: Job) -> None:
        job.finished = job.broken_at = None
        if job.new.batch_role == "member":
            self.batches[job.new.batch_id or ""].finished = None

    def _empty_links(self, chain: str) -> list[Batch]:
        """Batches without members in this chain whose turn has not come, in order."""
        empty = [
            batch
            for batch in self.batches.values()
            if batch.new.chain_id == chain and not batch.members and batch.finished is None
        ]
        return sorted(empty, key=lambda batch: batch.new.position or 0)

    def _may_go(self, job: Job, before: float) -> bool:
        if job.finished is None or job.finished >= before:
            return False
        batch = self.batches.get(job.new.batch_id or "")
        if batch is not None and (batch.finished is None or batch.finished >= before):
            return False
        return all(link.is_over for link in self.chain(job.new.chain_id))
