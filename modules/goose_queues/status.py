"""What a job and the queues look like to whoever asks: made by ``client`` from what the store knows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from goose_queues.record import JobRecord, QueueStats, Status

FINISHED: Final = frozenset[Status](("completed", "failed", "cancelled"))

_EMPTY: Final = QueueStats()


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job at one moment. It carries no payload, so it is fit to be shown."""

    id: str
    name: str
    queue: str
    status: Status
    attempts: int
    """Attempts begun; 0 until the first."""
    created_at: datetime
    available_at: datetime
    """When it may start: due time, or the time of the next attempt."""
    started_at: datetime | None
    """Start of the latest attempt."""
    finished_at: datetime | None
    """Set once it is completed, failed or cancelled."""
    error: str | None
    """Class and message of what the latest failed attempt raised."""
    result: Any
    """What the handler returned, once it is completed."""
    progress: Any
    """The latest that the handler told of itself."""
    cancel_requested: bool
    note: str | None
    """What there is to say beside the status, such as a result that could not be kept."""


class Stats(dict[str, QueueStats]):
    """Counts by queue; a queue without a single job reads as zeros."""

    def __missing__(self, queue: str) -> QueueStats:
        return _EMPTY


def status_of(record: JobRecord) -> JobStatus:
    """A record as a user sees it."""
    error = record.error
    return JobStatus(
        id=record.id,
        name=record.name,
        queue=record.queue,
        status=record.status,
        attempts=record.attempts,
        created_at=record.created_at,
        available_at=record.available_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        error=None if error is None else f"{error.type}: {error.message}" if error.message else error.type,
        result=_decoded(record.result),
        progress=_decoded(record.progress),
        cancel_requested=record.cancel_requested,
        note=record.note,
    )


def stats_of(known: Iterable[str], counted: Mapping[str, QueueStats]) -> Stats:
    """Counts of every queue that is known here or has a job."""
    return Stats({**dict.fromkeys(sorted(known), _EMPTY), **counted})


def _decoded(text: str | None) -> Any:
    return None if text is None else json.loads(text)
