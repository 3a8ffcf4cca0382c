"""What a store has cost that lost its last moments: jobs that are gone, and runs that it knows nothing of any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from checker import Batch, History, Violation, check
from ledger import Entry

UNWRITTEN: Final = 1.0
"""Seconds for which a run that has ended may not be written yet, as long as nothing keeps the worker from it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one fault."""

    at: float
    """When it was, or after, in seconds since the epoch."""
    lost: Mapping[str, float]
    """Jobs that were acknowledged, and neither ran nor are there: how long before the fault they were, in seconds."""
    forgotten: Mapping[str, float]
    """The same of those that ran and are not there."""
    undone: Mapping[str, float]
    """Jobs that ran again although they had ended before the fault: how long before."""
    interrupted: Mapping[str, float]
    """Jobs that ran at the time of the fault, or whose run began right after, and ran again: how long before they began."""

    @property
    def acknowledged(self) -> float:
        """How long before the fault the earliest dispatch was that it cost, in seconds."""
        return max([0.0, *self.lost.values(), *self.forgotten.values()])

    @property
    def reach(self) -> float:
        """How far back it went, in seconds; also by runs, which end up to ``UNWRITTEN`` before the store has their outcome."""
        ages = (self.lost, self.forgotten, self.undone, self.interrupted)
        return max([0.0, *(age for of_a_kind in ages for age in of_a_kind.values())])

    @property
    def aftermath(self) -> float:
        """How long after the fault something began that was done again, in seconds."""
        return max([0.0, *(-age for age in self.interrupted.values())])

    def __str__(self) -> str:
        return (
            f"{len(self.lost)} lost, {len(self.forgotten)} forgotten after they ran, {len(self.undone)} done again, "
            f"{len(self.interrupted)} interrupted, reaching back {self.reach:.3f} s"
        )


def cost_of(history: History, at: float) -> Cost:
    """What a fault at that time has cost."""
    acknowledged = {entry.job: entry.at for entry in history.entries if entry.event == "dispatched"}
    runs = _runs(history)
    gone = {job: at - then for job, then in acknowledged.items() if job not in history.endings}
    undone, interrupted = dict[str, float](), dict[str, float]()
    for job, (*before, _) in runs.items():
        for start, end in before:
            if end is not None and end.at <= at:
                undone[job] = max(at - end.at, undone.get(job, 0.0))
            else:
                interrupted[job] = at - start.at
    return Cost(
        at,
        {job: age for job, age in gone.items() if job not in runs},
        {job: age for job, age in gone.items() if job in runs},
        undone,
        interrupted,
    )


def broken(history: History) -> list[Violation]:
    """What must not be in a history whose store has forgotten something: by all that it still knows, it is whole."""
    return check(_as_known(history))


def _as_known(history: History) -> History:
    """Of each job the last run, and of chains and batches those that are there."""
    last = {job: {id(entry) for entry in found[-1] if entry is not None} for job, found in _runs(history).items()}
    known = {job: facts for job, facts in history.dispatched.items() if job in history.endings}
    entries = [
        entry
        for entry in history.entries
        if entry.event not in {"start", "end"} or (entry.job in known and id(entry) in last[entry.job])
    ]
    return replace(
        history,
        dispatched=known,
        entries=entries,
        chains=[chain for chain in history.chains if known.keys() >= set(chain)],
        batches=[batch for batch in history.batches if _is_known(batch, history)],
    )


def _is_known(batch: Batch, history: History) -> bool:
    return history.endings.keys() >= set(batch.members)


def _runs(history: History) -> Mapping[str, list[tuple[Entry, Entry | None]]]:
    """Start and end of each run of a job, in the order in which they began."""
    ends: dict[tuple[str, int, int], list[Entry]] = defaultdict(list)
    for entry in history.entries:
        if entry.event == "end":
            ends[entry.job, entry.attempt, entry.pid].append(entry)
    runs: dict[str, list[tuple[Entry, Entry | None]]] = defaultdict(list)
    for entry in history.entries:
        if entry.event == "start":
            ended = ends[entry.job, entry.attempt, entry.pid]
            runs[entry.job].append((entry, ended.pop(0) if ended else None))
    return runs
