"""Times as somebody reads them who looks at a terminal now: ``3 min``, ``in 2 h``, ``5 d ago``."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from goose_queues.record import JobRecord
from goose_queues.status import FINISHED, JobStatus

_UNITS: Final = (("d", 86_400, 2), ("h", 3_600, 1), ("min", 60, 1), ("s", 1, 0))
"""A unit, its seconds, and of how many on it is used."""


def age(since: datetime, now: datetime) -> str:
    """How long ago something was, in the largest unit that says enough: ``90 s`` is ``1 min``, a day and a half ``36 h``."""
    seconds = max(0, int((now - since).total_seconds()))
    return next(f"{seconds // size} {unit}" for unit, size, least in _UNITS if seconds >= size * least)


def when(job: JobStatus | JobRecord, now: datetime) -> str:
    """Since when a job is what it is, or in how long it is due: read behind its status."""
    if job.status in FINISHED:
        return "" if job.finished_at is None else f"{age(job.finished_at, now)} ago"
    if job.status == "processing":
        return "" if job.started_at is None else f"for {age(job.started_at, now)}"
    if job.available_at > now:
        return f"in {age(now, job.available_at)}"
    return f"for {age(job.available_at, now)}"
