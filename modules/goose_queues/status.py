"""What a job and the queues look like to whoever asks: made by ``client`` from what the store knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json

from goose_queues.record import ErrorRecord, JobRecord, QueueStats, Status
from goose_queues.redact import one_line

FINISHED: Final = frozenset[Status](("completed", "failed", "cancelled"))

_EMPTY: Final = QueueStats()
GRACE: Final = 1.0
"""Seconds after its timeout that a handler has to end, before its job is called overdue."""
_SHOWN: Final = 80
"""Characters of a name or value in a note."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a handler said that it is."""

    done: float
    total: float | None
    note: str


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
    progress: Progress | None
    """The latest that the handler told by ``ctx.progress``."""
    cancel_requested: bool
    note: str | None
    """What there is to say beside the status: why it was cancelled, a result that could not be kept,
    a name or a queue without a worker."""
    meta: dict[str, Any]
    """The small data that was dispatched beside the payload."""
    chain_id: str | None
    position: int | None
    """Place in the chain, from 0."""
    batch_id: str | None
    """Of the batch that it is a member or a callback of."""


class Stats(dict[str, QueueStats]):
    """Counts by queue; a queue without a single job reads as zeros."""

    def __missing__(self, queue: str) -> QueueStats:
        return _EMPTY


@dataclass(frozen=True, slots=True)
class View:
    """A process's own knowledge, by which ``note`` tells why a job stays pending, or has not ended."""

    names: Container[str]
    """Of jobs that have a class here."""
    queues: Container[str]
    """That somebody is known to serve."""
    now: Callable[[], datetime]


def status_of(record: JobRecord, view: View | None = None) -> JobStatus:
    """A record as a user sees it."""
    error = record.error
    result, no_result = _decoded("result", record.result)
    notes = (record.note, no_result, *(() if view is None else _remarks(record, view)))
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
        error=None if error is None else _said(error),
        result=result,
        progress=_progress(record.progress),
        cancel_requested=record.cancel_requested,
        note="; ".join(filter(None, notes)) or None,
        meta=_object(record.meta),
        chain_id=record.chain_id,
        position=record.position,
        batch_id=record.batch_id,
    )


def stats_of(known: Iterable[str], counted: Mapping[str, QueueStats]) -> Stats:
    """Counts of every queue that is known here or has a job."""
    return Stats({**dict.fromkeys(sorted(known), _EMPTY), **counted})


def _remarks(record: JobRecord, view: View) -> Iterator[str]:
    if record.status == "processing" and _is_overdue(record, view.now()):
        yield f"overdue: it has run longer than its timeout of {record.timeout:g} s and has not ended"
    if record.status != "pending":
        return
    if record.name not in view.names:
        name = one_line(record.name, _SHOWN)
        yield f"no worker for {name}: no registered job has this name; a class that was renamed takes it as aliases="
    if record.queue not in view.queues:
        queue = one_line(record.queue, _SHOWN)
        yield f"no worker for queue {queue}: no registered job and no setting names it"


def _is_overdue(record: JobRecord, now: datetime) -> bool:
    if record.timeout is None or record.started_at is None:
        return False
    return (now - record.started_at).total_seconds() > record.timeout + GRACE


def _said(error: ErrorRecord) -> str:
    """Class and message, as text that can be written anywhere."""
    text = f"{error.type}: {error.message}" if error.message else error.type
    return text.encode("utf-8", "backslashreplace").decode()


def progress_text(progress: Progress) -> str:
    """A progress as it is stored."""
    return json.dumps({"done": progress.done, "total": progress.total, "note": progress.note})


def _progress(text: str | None) -> Progress | None:
    """Whatever a hand may have written there."""
    found = _object(text)
    done, total = found.get("done"), found.get("total")
    if not isinstance(done, int | float) or not isinstance(total, int | float | None):
        return None
    return Progress(done, total, str(found.get("note", "")))


def _object(text: str | None) -> dict[str, Any]:
    found, _ = _decoded("", text)
    return found if isinstance(found, dict) else {}


def _decoded(column: str, text: str | None) -> tuple[Any, str | None]:
    """JSON text as a value; None and a note where a hand has written something else."""
    if text is None:
        return None, None
    try:
        return from_json(text), None
    except ValueError:
        return None, one_line(f"corrupt row: {column} is {text[:_SHOWN]!r}")
