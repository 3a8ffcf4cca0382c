"""How fast queues fill and empty, told from two looks at their counts. Used by ``watching``."""

from __future__ import annotations

from dataclasses import dataclass

from goose_queues.record import QueueStats


@dataclass(frozen=True, slots=True)
class Rates:
    """Jobs a second of one queue, between two looks."""

    came: float
    """Dispatched, or put back by a retry."""
    ended: float
    """Completed, failed or cancelled."""
    failed: float

    def __add__(self, other: Rates) -> Rates:
        return Rates(self.came + other.came, self.ended + other.ended, self.failed + other.failed)


def rates(before: QueueStats, after: QueueStats, seconds: float) -> Rates:
    """Between two looks that lie so far apart.

    What is pruned, purged or put back lowers a count; it is never taken for a negative rate, but may hide as many that ended.
    """
    failed = _more(before.failed, after.failed)
    ended = _more(before.completed, after.completed) + failed + _more(before.cancelled, after.cancelled)
    came = max(0, _unfinished(after) - _unfinished(before) + ended)
    return Rates(came / seconds, ended / seconds, failed / seconds)


def _more(before: int, after: int) -> int:
    return max(0, after - before)


def _unfinished(counts: QueueStats) -> int:
    return counts.pending + counts.scheduled + counts.processing
