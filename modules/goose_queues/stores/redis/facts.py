"""A job between its records and the texts in which Redis keeps it; the only place that knows which fact stands where.

Nothing here trusts what is stored: a hand may have written anything into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from goose_queues.record import BatchRole, ClaimedJob, JobRecord, NewJob, Status
from goose_queues.stores.moment import shown, span, stored
from goose_queues.stores.text import corruption, error_record

NONE: Final = "-"
"""Stands for no batch and no home."""

STATUSES: Final[Mapping[str, Status]] = {
    "r": "pending",
    "s": "pending",
    "w": "pending",
    "p": "processing",
    "c": "completed",
    "f": "failed",
    "x": "cancelled",
}
"""By the letters of ``scripts/lib/job.lua``."""

_ROLES: Final[dict[object, BatchRole]] = {role: role for role in get_args(BatchRole)}
_FACTS: Final = 10
MEMBER: Final = "member"
"""The role of a batch's own jobs."""


@dataclass(frozen=True, slots=True)
class _Body:
    """A job as it was dispatched."""

    name: str
    created: int
    priority: int
    max_retries: int
    timeout: float | None
    meta: str | None
    chain_id: str | None
    position: int | None
    batch_id: str | None
    batch_role: BatchRole | None
    payload: str
    fault: str | None = None
    """What of it makes no sense."""


def job_fields(job: NewJob, home: str) -> tuple[str, str, str, str, str, str, str]:
    """The seven fields by which ``job.add`` stores it."""
    facts = [
        job.name,
        job.priority,
        job.max_retries,
        job.timeout,
        job.meta,
        job.chain_id,
        job.position,
        job.batch_id,
        job.batch_role,
        job.unique_key,
    ]
    # What most jobs have not is left out at the end: a million of them is a million times as much.
    while facts[-1] is None:
        facts.pop()
    has_group = job.chain_id is not None or job.batch_id is not None
    return (
        job.id,
        _when(job),
        f"{job.name}\n{32767 - job.priority:05d}",
        job.batch_id if job.batch_id is not None and job.batch_role == MEMBER else NONE,
        home if has_group else NONE,
        json.dumps(facts, ensure_ascii=False, separators=(",", ":")),
        job.payload,
    )


def _when(job: NewJob) -> str:
    if job.position:
        return "w"
    if job.due_at is not None:
        return f"@{max(stored(job.due_at), 0)}"
    return "" if job.delay is None else f"+{span(job.delay)}"


def claimed_job(queue: str, token: str, answer: Sequence[Any]) -> ClaimedJob:
    """One of the jobs that ``claim.lua`` has taken; one that makes no sense comes with ``failed_with`` set."""
    identity, name, text, attempts, failures, deaths, error, corrupt = answer
    body = _read(text)
    fault = corrupt or body.fault
    failed_with = None if error is None else error_record(error)
    return ClaimedJob(
        id=identity,
        name=name,
        queue=queue,
        payload=body.payload,
        meta=body.meta,
        priority=body.priority,
        attempt=attempts,
        failures=failures,
        deaths=deaths,
        max_retries=body.max_retries,
        timeout=body.timeout,
        dispatched_at=shown(body.created),
        token=token,
        chain_id=body.chain_id,
        position=body.position,
        batch_id=body.batch_id,
        batch_role=body.batch_role,
        failed_with=corruption(fault, text.partition("\n")[0]) if fault else failed_with,
    )


def job_record(queue: str, answer: Sequence[Any]) -> JobRecord:
    """A job as ``get.lua`` gives it."""
    identity, text, state, due, flat = answer
    body = _read(text)
    since = dict(zip(flat[::2], flat[1::2], strict=False))
    status = STATUSES.get(state)
    error = error_record(since["error"]) if "error" in since else None
    if status is None or body.fault or "corrupt" in since:
        fault = body.fault or ("run" if "corrupt" in since else "state")
        status, error = "failed", corruption(fault, state if fault == "state" else text.partition("\n")[0])
    return JobRecord(
        id=identity,
        name=body.name,
        queue=queue,
        status=status,
        priority=body.priority,
        attempts=_whole(since.get("attempts")),
        failures=_whole(since.get("failures")),
        deaths=_whole(since.get("deaths")),
        max_retries=body.max_retries,
        timeout=body.timeout,
        created_at=shown(body.created),
        available_at=shown(_whole(due)),
        started_at=shown(_whole(since["began"])) if "began" in since else None,
        finished_at=shown(_whole(since["ended"])) if "ended" in since else None,
        error=error,
        result=since.get("result"),
        payload=body.payload,
        meta=body.meta,
        note=since.get("note"),
        progress=since.get("progress"),
        cancel_requested="asked" in since,
        chain_id=body.chain_id,
        position=body.position,
        batch_id=body.batch_id,
        batch_role=body.batch_role,
    )


def _read(text: str) -> _Body:
    line, _, payload = text.partition("\n")
    try:
        _, _, created, _, _, listed = line.split(" ", 5)
        facts = json.loads(listed)
        facts += [None] * (_FACTS - len(facts))
        name, priority, max_retries, timeout, meta, chain_id, position, batch_id, role, _ = facts
        if not (
            type(name) is str
            and type(priority) is int
            and type(max_retries) is int
            and (timeout is None or type(timeout) is float or type(timeout) is int)
            and (meta is None or type(meta) is str)
            and (chain_id is None or type(chain_id) is str)
            and (position is None or type(position) is int)
            and (batch_id is None or type(batch_id) is str)
        ):
            return _nonsense(payload, name)
        return _Body(
            name,
            int(created),
            priority,
            max_retries,
            timeout,
            meta,
            chain_id,
            position,
            batch_id,
            _ROLES.get(role),
            payload,
        )
    except (ValueError, TypeError, RecursionError):
        return _nonsense(payload)


def _nonsense(payload: str, name: object = "") -> _Body:
    known = name if isinstance(name, str) else ""
    return _Body(known, 0, 0, 0, None, None, None, None, None, None, payload or "{}", fault="body")


def _whole(text: object) -> int:
    try:
        return int(str(text or 0))
    except ValueError:
        return 0
