"""The checker: compares what handlers really did with what was dispatched and which faults were injected.

``check`` is a pure function; a fault test gives it the history that the ledger, the fleet and the store tell, and asserts
that there is no violation. What it must find is proved in ``faults/test_checker.py`` by planting bugs.

It assumes that nothing is known of a lease but its length: so it only calls wrong what no order of events could excuse.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Final, Literal, TypeAlias

from ledger import Entry, Outcome

Kind: TypeAlias = Literal[
    "lost",
    "unfinished",
    "unknown",
    "double",
    "overlap",
    "attempts",
    "after completed",
    "early",
    "early retry",
    "no end",
    "no reason",
    "chain order",
    "two successors",
    "callback missing",
    "callback twice",
    "callback early",
    "callback uncalled",
    "limit",
]
Role: TypeAlias = Literal["then", "catch", "finally"]

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
MAX_DEATHS: Final = 3
"""Workers that may die over one job before it fails for that."""
CLAIM_TO_START: Final = 1.0
"""Seconds at most between the claim, from which the lease counts, and the handler's first line."""
END_TO_WRITTEN: Final = 10.0
"""Seconds at most between a handler's end and the moment in which its outcome is written."""
RESUMED: Final = 2.0
"""Seconds at most between the end of a fault and the moment in which a process extends its leases again."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not happen, and did."""

    kind: Kind
    job: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What is known of one job from its dispatch."""

    acknowledged: bool = True
    """Whether the dispatch returned; a job whose dispatch did not may be there or not."""
    queue: str = "default"
    due_at: float | None = None
    """Seconds since the epoch before which no attempt may start."""
    retry_delay: float = 0.0
    """Seconds at least between a failed attempt and the next."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What the store says of a job at the end."""

    status: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that count together, and every callback job that the store has for each role that was asked for."""

    members: tuple[str, ...]
    callbacks: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """A process that could not keep its leases: killed, frozen, or cut off from the store.

    A store that was away for a short time explains nothing: not that an outcome was lost, and not that one was written
    twice. Nor does a broken connection.
    """

    pid: int
    at: float
    """When it began, or before."""
    over: float = math.inf
    """When it was over, or after: of a kill, when the process was certainly dead."""
    killed: bool = False
    leases_end: float | None = None
    """When a hand ended its leases in the store; None: they end by themselves."""


@dataclass(frozen=True, slots=True)
class History:
    """Everything that ``check`` looks at."""

    dispatched: Mapping[str, Dispatched]
    entries: Sequence[Entry]
    endings: Mapping[str, Ending]
    lease: float
    """Seconds."""
    faults: Sequence[Fault] = ()
    chains: Sequence[Sequence[str]] = ()
    """The links of each, in order."""
    batches: Sequence[Batch] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    """Concurrent jobs of a queue in the whole fleet."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a handler."""

    job: str
    number: int
    pid: int
    start: float
    end: float | None
    """None: it was never heard of again."""
    outcome: Outcome | None
    fault: Fault | None
    """What kept its process from keeping the lease."""
    lease_over: float
    """The earliest moment at which somebody else may have the job although it was not settled; infinite without a
    fault."""

    @property
    def over(self) -> float:
        """When it certainly ran no more."""
        if self.end is not None:
            return self.end
        return self.fault.over if self.fault is not None and self.fault.killed else math.inf

    @property
    def live_until(self) -> float:
        """Until when its lease was certainly held, as far as its own process goes."""
        return min(self.over if self.end is not None else math.inf, self.lease_over)

    def __str__(self) -> str:
        return f"attempt {self.number} in {self.pid}"


Attempts: TypeAlias = Mapping[str, Sequence[Attempt]]


def check(history: History) -> list[Violation]:
    """Everything in the history that must not happen, whatever the timing."""
    attempts = _attempts(history)
    return [
        *_lost(history, attempts),
        *_unknown(history, attempts),
        *_endings(history, attempts),
        *_runs(history, attempts),
        *_early(history, attempts),
        *_after_completed(history, attempts),
        *(violation for chain in history.chains for violation in _chain(chain, history, attempts)),
        *(violation for batch in history.batches for violation in _batch(batch, history, attempts)),
        *_limits(history, attempts),
    ]


def attempts_in_flight(history: History) -> list[int]:
    """How many attempts each kill cut off."""
    runs = [run for found in _attempts(history).values() for run in found]
    return [
        sum(run.pid == fault.pid and run.start <= fault.over and run.end is None for run in runs)
        for fault in history.faults
        if fault.killed
    ]


# --- attempts out of lines


def _attempts(history: History) -> Attempts:
    """The attempts of each job, by their start."""
    starts: dict[tuple[str, int, int], list[Entry]] = defaultdict(list)
    ends: dict[tuple[str, int, int], list[Entry]] = defaultdict(list)
    for entry in history.entries:
        if entry.event in {"start", "end"}:
            (starts if entry.event == "start" else ends)[entry.job, entry.attempt, entry.pid].append(entry)
    by_job: dict[str, list[Attempt]] = defaultdict(list)
    for key, begun in starts.items():
        ended = ends.get(key, [])
        for number, start in enumerate(begun):
            by_job[start.job].append(_attempt(history, start, ended[number] if number < len(ended) else None))
    return {job: sorted(found, key=lambda attempt: attempt.start) for job, found in by_job.items()}


def _attempt(history: History, start: Entry, end: Entry | None) -> Attempt:
    fault, lease_over = None, math.inf
    for candidate in history.faults:
        if candidate.pid == start.pid and _hits(candidate, start.at, end, history.lease):
            expiry = _lease_over(candidate, start.at, history.lease)
            if expiry < lease_over:
                fault, lease_over = candidate, expiry
    return Attempt(
        start.job,
        start.attempt,
        start.pid,
        start.at,
        None if end is None else end.at,
        None if end is None else end.outcome,
        fault,
        lease_over,
    )


def _hits(fault: Fault, start: float, end: Entry | None, lease: float) -> bool:
    """Whether a fault may have kept the outcome of an attempt from being written in time."""
    if not fault.killed and fault.leases_end is None and fault.over + RESUMED < fault.at + lease / 3:
        # Over before a lease could be given up: what was in doubt or could not be written is written after all.
        return False
    return start <= fault.over and (end is None or fault.at <= end.at + END_TO_WRITTEN)


def _lease_over(fault: Fault, start: float, lease: float) -> float:
    if fault.leases_end is not None:
        return fault.leases_end
    # A claim is good for a whole lease; and a job that could not be extended for two thirds of it has been given up.
    return max(start - CLAIM_TO_START + lease, fault.at + lease / 3)


# --- one job


def _lost(history: History, attempts: Attempts) -> Iterator[Violation]:
    for job, facts in history.dispatched.items():
        ending = history.endings.get(job)
        ran = len(attempts.get(job, ()))
        if ending is None:
            if facts.acknowledged:
                yield Violation(
                    "lost", job, f"its dispatch returned, and the store knows it no more; it ran {ran} times"
                )
        elif ending.status not in TERMINAL:
            yield Violation("unfinished", job, f"it is {ending.status} at the end; it ran {ran} times")


def _unknown(history: History, attempts: Attempts) -> Iterator[Violation]:
    callbacks = {job for batch in history.batches for jobs in batch.callbacks.values() for job in jobs}
    for job in attempts.keys() - history.dispatched.keys() - callbacks:
        yield Violation("unknown", job, "it ran, and nobody dispatched it")


def _endings(history: History, attempts: Attempts) -> Iterator[Violation]:
    """Statuses that nothing in the ledger accounts for."""
    followers = {link for chain in history.chains for link in chain[1:]}
    for job, ending in history.endings.items():
        runs = attempts.get(job, ())
        highest = max((run.number for run in runs), default=0)
        if ending.attempts < highest:
            yield Violation("attempts", job, f"the store counts {ending.attempts}, and attempt {highest} ran")
        if ending.status == "completed" and not any(
            run.number == ending.attempts and run.outcome == "returned" for run in runs
        ):
            yield Violation("no end", job, f"it is completed, and no handler returned in attempt {ending.attempts}")
        if ending.status == "failed" and not _has_failed(runs, ending):
            yield Violation("no reason", job, "it has failed, and neither a handler raised nor did its workers die")
        if ending.status == "cancelled" and job not in followers:
            yield Violation("no reason", job, "it is cancelled, and nobody asked for that")


def _has_failed(runs: Sequence[Attempt], ending: Ending) -> bool:
    # Deaths between the claim and the handler's first line are in the store's count alone.
    deaths = sum(run.fault is not None for run in runs) + max(ending.attempts - len(runs), 0)
    return any(run.outcome == "raised" for run in runs) or deaths >= MAX_DEATHS


def _runs(history: History, attempts: Attempts) -> Iterator[Violation]:
    """Doubles, overlaps, and numbers that do not rise."""
    for job, runs in attempts.items():
        delay = history.dispatched.get(job, Dispatched()).retry_delay
        for before, after in pairwise(runs):
            if (numbers := _numbers(before, after)) is not None:
                yield numbers
            if before.over <= after.start and (again := _again(before, after, delay)) is not None:
                yield again
        for before, after in combinations(runs, 2):
            if after.start < min(before.over, before.lease_over):
                text = f"{after} started while {before} ran, whose lease nothing had ended"
                yield Violation("overlap", job, text)


def _numbers(before: Attempt, after: Attempt) -> Violation | None:
    refunded = before.outcome in {"interrupted", "snoozed"}
    if after.number > before.number or (refunded and after.number == before.number):
        return None
    return Violation("attempts", before.job, f"{after} came after {before}")


def _again(before: Attempt, after: Attempt, retry_delay: float) -> Violation | None:
    """What is wrong with an attempt after one that has ended."""
    refunded = before.outcome in {"interrupted", "snoozed"} and after.number == before.number
    if after.start >= before.lease_over or refunded:
        return None
    if before.outcome == "raised":
        if after.start >= before.over + retry_delay:
            return None
        text = f"{after} started {after.start - before.over:.3f} s after {before} had failed, not {retry_delay:g} s"
        return Violation("early retry", before.job, text)
    ended = f"had {before.outcome}" if before.outcome == "returned" else f"was {before.outcome or 'running'}"
    return Violation("double", before.job, f"{after} ran: {before} {ended}, and nothing had ended its lease")


def _early(history: History, attempts: Attempts) -> Iterator[Violation]:
    for job, facts in history.dispatched.items():
        for run in attempts.get(job, ()):
            if facts.due_at is not None and run.start < facts.due_at:
                yield Violation("early", job, f"{run} started {facts.due_at - run.start:.6f} s before its time")


def _after_completed(history: History, attempts: Attempts) -> Iterator[Violation]:
    """Nothing happens to a job once somebody has read that it is completed."""
    completed: dict[str, float] = {}
    readers: set[tuple[str, int]] = set()
    for entry in history.entries:
        if entry.event != "seen":
            continue
        if entry.note == "completed":
            completed.setdefault(entry.job, entry.at)
            readers.add((entry.job, entry.pid))
        elif (entry.job, entry.pid) in readers:
            yield Violation("after completed", entry.job, f"it was read as {entry.note} after it was read as completed")
    for job, at in completed.items():
        for run in attempts.get(job, ()):
            if run.start > at:
                yield Violation("after completed", job, f"{run} started after it was read as completed")
        ending = history.endings.get(job)
        if ending is not None and ending.status != "completed":
            yield Violation("after completed", job, f"it is {ending.status}, and was read as completed")


# --- jobs together


def _chain(chain: Sequence[str], history: History, attempts: Attempts) -> Iterator[Violation]:
    """Each link starts once the one before has returned for good, and no other with it."""
    runs = [attempts.get(job, ()) for job in chain]
    for place, (link, successor) in enumerate(pairwise(chain)):
        if not runs[place + 1]:
            if _was_to_follow(link, successor, history):
                yield Violation("lost", successor, "the link before it has completed, and it never ran")
            continue
        begun = runs[place + 1][0].start
        skipped = [later for later in range(place + 2, len(chain)) if _starts_before_end(runs, later, place + 1)]
        for later in skipped:
            text = f"it started when {link} had returned, like {successor}, which is the next"
            yield Violation("two successors", chain[later], text)
        if not any(run.outcome == "returned" and run.over <= begun for run in runs[place]):
            yield Violation("chain order", successor, f"it started before {link} had returned")
        elif any(begun < min(run.over, run.lease_over) for run in runs[place]):
            yield Violation("chain order", link, f"it ran when {successor}, the link after it, had started")


def _starts_before_end(runs: Sequence[Sequence[Attempt]], later: int, earlier: int) -> bool:
    returned = min((run.over for run in runs[earlier] if run.outcome == "returned"), default=math.inf)
    return bool(runs[later]) and runs[later][0].start < returned


def _was_to_follow(link: str, successor: str, history: History) -> bool:
    before, after = history.endings.get(link), history.endings.get(successor)
    return before is not None and before.status == "completed" and (after is None or after.status == "cancelled")


def _batch(batch: Batch, history: History, attempts: Attempts) -> Iterator[Violation]:
    """Each callback that was asked for ran once, when it was due and not before."""
    for role, jobs in batch.callbacks.items():
        ran = [job for job in jobs if job in attempts]
        name = f"{role} of {batch.members[0] if batch.members else 'an empty batch'}"
        is_due = _is_called_for(role, batch, history)
        if is_due and not ran:
            yield Violation("callback missing", name, f"{len(jobs)} are stored, and none ran")
        if ran and not is_due:
            yield Violation("callback uncalled", ran[0], f"{role} ran, and the members give no reason for it")
        if len(jobs) > 1:
            yield Violation("callback twice", name, f"{len(jobs)} are stored, and {len(ran)} of them ran")
        for job in ran:
            begun = attempts[job][0].start
            if (waits := _still_to_come(role, batch, begun, history, attempts)) is not None:
                yield Violation("callback early", job, f"{role} ran before {waits} had ended")


def _is_called_for(role: Role, batch: Batch, history: History) -> bool:
    statuses = [ending.status for job in batch.members if (ending := history.endings.get(job)) is not None]
    match role:
        case "then":
            return len(statuses) == len(batch.members) and all(status == "completed" for status in statuses)
        case "catch":
            return "failed" in statuses
        case "finally":
            return all(status in TERMINAL for status in statuses)


def _still_to_come(role: Role, batch: Batch, begun: float, history: History, attempts: Attempts) -> str | None:
    """A member that ran, or was yet to run, when the callback began."""
    runs = {job: attempts[job] for job in batch.members if job in attempts}
    if role == "catch":
        failed = [job for job in runs if job in history.endings and history.endings[job].status == "failed"]
        over = any(all(min(run.over, run.lease_over) <= begun for run in runs[job]) for job in failed)
        return None if over or not failed else "any member that has failed"
    return next(
        (job for job, found in runs.items() if any(begun < min(run.over, run.lease_over) for run in found)), None
    )


def _limits(history: History, attempts: Attempts) -> Iterator[Violation]:
    """Never more attempts at once than the limit, those of dead workers included until their lease is over."""
    for queue, limit in history.limits.items():
        jobs = (job for job in attempts if history.dispatched.get(job, Dispatched()).queue == queue)
        live: set[str] = set()
        for _, _, job, begins in sorted(_moments(attempts[job] for job in jobs)):
            if not begins:
                live.discard(job)
                continue
            live.add(job)
            if len(live) > limit:
                yield Violation("limit", job, f"it was one of {len(live)} that ran at once in {queue}: limit {limit}")


def _moments(jobs: Iterable[Sequence[Attempt]]) -> Iterator[tuple[float, int, str, bool]]:
    for runs in jobs:
        for number, run in enumerate(runs):
            following = runs[number + 1].start if number + 1 < len(runs) else math.inf
            yield run.start, 1, run.job, True
            yield min(run.live_until, following), 0, run.job, False
