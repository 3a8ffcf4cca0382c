"""The counts of queues as a table. Used by ``stats`` and ``watching``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import reduce
from operator import add
from typing import Final

from goose.commands import Table
from goose_queues.commands.ages import age
from goose_queues.commands.rates import Rates
from goose_queues.record import QueueStats
from goose_queues.redact import one_line

ALL: Final = "(all)"
"""Heads the sums; no queue can be called so."""
COUNTS: Final[Mapping[str, Callable[[QueueStats], int]]] = {
    "pending": lambda counts: counts.pending,
    "scheduled": lambda counts: counts.scheduled,
    "processing": lambda counts: counts.processing,
    "completed": lambda counts: counts.completed,
    "failed": lambda counts: counts.failed,
    "cancelled": lambda counts: counts.cancelled,
}
RATES: Final[Mapping[str, Callable[[Rates], float]]] = {
    "in/s": lambda rates: rates.came,
    "done/s": lambda rates: rates.ended,
    "failed/s": lambda rates: rates.failed,
}
SPARE: Final = ("cancelled", "completed", "scheduled", "failed/s")


def as_table(
    stats: Mapping[str, QueueStats], now: datetime, *, moving: bool = False, rates: Mapping[str, Rates] | None = None
) -> Table:
    """One row for each queue, and their sums below where there are several.

    Args:
        stats: The counts by queue.
        now: The time that ages are told from.
        moving: Whether there are columns for rates.
        rates: By queue; None where there has been one look alone.
    """
    speeds = RATES if moving else {}

    def row(name: str, counts: QueueStats, rate: Rates | None) -> list[str]:
        oldest = counts.oldest_pending_at
        return [
            one_line(name),
            *(str(count(counts)) for count in COUNTS.values()),
            *("-" if rate is None else _rate(speed(rate)) for speed in speeds.values()),
            "-" if oldest is None else age(oldest, now),
            "yes" if counts.paused else "",
        ]

    rows = [row(name, counts, None if rates is None else rates.get(name)) for name, counts in stats.items()]
    if len(rows) > 1:
        rows.append(
            row(ALL, reduce(_sum, stats.values(), QueueStats()), None if rates is None else reduce(add, rates.values()))
        )
    numbers = (*COUNTS, *speeds, "oldest")
    return Table(("queue", *numbers, "paused"), rows, numbers, spare=SPARE)


def _sum(one: QueueStats, other: QueueStats) -> QueueStats:
    waiting = [at for at in (one.oldest_pending_at, other.oldest_pending_at) if at is not None]
    return QueueStats(
        pending=one.pending + other.pending,
        scheduled=one.scheduled + other.scheduled,
        processing=one.processing + other.processing,
        completed=one.completed + other.completed,
        failed=one.failed + other.failed,
        cancelled=one.cancelled + other.cancelled,
        oldest_pending_at=min(waiting, default=None),
    )


def _rate(rate: float) -> str:
    return f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"
