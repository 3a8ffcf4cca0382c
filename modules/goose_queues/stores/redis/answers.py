"""What scripts answer, as records; jobs apart, which are in ``facts``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from goose_queues.record import BatchProgress, QueueStats
from goose_queues.stores.moment import shown


def in_rows(flat: Sequence[Any], width: int) -> Iterator[tuple[Any, ...]]:
    """A flat list as rows of so many fields."""
    return zip(*(flat[start::width] for start in range(width)), strict=True)


def queue_stats(answer: Sequence[Any]) -> QueueStats | None:
    """What ``stats.lua`` counts; None where there has never been anything."""
    used, ready, late, scheduled, waiting, processing, completed, failed, cancelled, paused, oldest = answer
    if not used and not paused:
        return None
    return QueueStats(
        pending=ready + late,
        scheduled=scheduled - late + waiting,
        processing=processing,
        completed=completed,
        failed=failed,
        cancelled=cancelled,
        paused=bool(paused),
        oldest_pending_at=shown(int(oldest)) if oldest else None,
    )


def batch_progress(batch_id: str, answers: Sequence[Sequence[Any]]) -> BatchProgress | None:
    """What ``batch.lua`` knows in each queue; None where none of them is the batch's home.

    While the end of a member is on its way from its queue to the home, its queue knows better.
    """
    home = next((answer for answer in answers if len(answer) > _STATES), None)
    if home is None:
        return None
    ready, scheduled, waiting, processing, completed, failed, _ = (
        sum(numbers) for numbers in zip(*(answer[:_STATES] for answer in answers), strict=True)
    )
    total, created, ended, all_completed, all_failed = home[_STATES:]
    completed, failed = max(completed, all_completed), max(failed, all_failed)
    pending = 0 if ended else ready + scheduled + waiting
    processing = 0 if ended else processing
    return BatchProgress(
        id=batch_id,
        total=total,
        pending=pending,
        processing=processing,
        completed=completed,
        failed=failed,
        cancelled=max(total - pending - processing - completed - failed, 0),
        created_at=shown(int(created)),
        finished_at=shown(int(ended)) if ended else None,
    )


_STATES = 7
