"""Rows of the jobs table as records, and errors as text; the only place that knows which column is which field.

Nothing here trusts a row: a hand may have written anything into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from goose_queues.record import BatchRole, ClaimedJob, JobRecord, Status
from goose_queues.stores.moment import shown, shown_or_none
from goose_queues.stores.sql.tables import READY, SCHEDULED, WAITING
from goose_queues.stores.text import brief, corruption, error_record

CLAIMED: Final = (
    "id",
    "priority",
    "due_at",
    "name",
    "queue",
    "payload",
    "meta",
    "attempts",
    "failures",
    "deaths",
    "max_retries",
    "timeout",
    "created_at",
    "chain_id",
    "position",
    "batch_id",
    "batch_role",
    "doomed",
    "error",
)
"""Columns that ``claimed_job`` reads, in its order."""

RECORD: Final = (
    "id",
    "name",
    "queue",
    "state",
    "priority",
    "attempts",
    "failures",
    "deaths",
    "max_retries",
    "timeout",
    "created_at",
    "due_at",
    "started_at",
    "finished_at",
    "error",
    "result",
    "payload",
    "meta",
    "note",
    "progress",
    "cancel_requested",
    "chain_id",
    "position",
    "batch_id",
    "batch_role",
)
"""Columns that ``job_record`` reads, in its order."""

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "priority": (int,),
    "due_at": (int,),
    "attempts": (int,),
    "failures": (int,),
    "deaths": (int,),
    "max_retries": (int,),
    "created_at": (int,),
    "timeout": (type(None), int, float),
    "payload": (str,),
    "meta": (type(None), str),
    "chain_id": (type(None), str),
    "position": (type(None), int),
    "batch_id": (type(None), str),
    "id": (str,),
}
"""What a claimed row may hold; SQLite takes anything in any column."""

_SOUND: Final[dict[type, Any]] = {int: 0, str: "{}"}
"""What stands where a row holds something else."""

_ROLES: Final[dict[object, BatchRole]] = {role: role for role in get_args(BatchRole)}

_STATUS: Final[dict[str, Status]] = {
    **{status: status for status in get_args(Status)},
    READY: "pending",
    SCHEDULED: "pending",
    WAITING: "pending",
}


def status(state: str) -> str:
    """A stored state in the words of users."""
    return _STATUS.get(state, "failed")


def claimed_job(row: Sequence[Any], token: str) -> ClaimedJob:
    """A row that was just claimed; one that makes no sense comes with ``failed_with`` set."""
    (
        identity,
        priority,
        due_at,
        name,
        queue,
        payload,
        meta,
        attempts,
        failures,
        deaths,
        max_retries,
        timeout,
        created_at,
        chain_id,
        position,
        batch_id,
        batch_role,
        doomed,
        error,
    ) = row
    # Spelt out: this runs for every job of every claim.
    if not (
        type(priority) is int
        and type(due_at) is int
        and type(attempts) is int
        and type(failures) is int
        and type(deaths) is int
        and type(max_retries) is int
        and type(created_at) is int
        and (timeout is None or type(timeout) is float or type(timeout) is int)
        and type(payload) is str
        and (meta is None or type(meta) is str)
        and (chain_id is None or type(chain_id) is str)
        and (position is None or type(position) is int)
        and (batch_id is None or type(batch_id) is str)
        and type(identity) is str
    ):
        return _corrupt(row, token)
    return ClaimedJob(
        identity,
        name,
        queue,
        payload,
        meta,
        priority,
        attempts,
        failures,
        deaths,
        max_retries,
        timeout,
        shown(created_at),
        token,
        chain_id,
        position,
        batch_id,
        _ROLES.get(batch_role),
        error_record(error) if doomed else None,
    )


def _corrupt(row: Sequence[Any], token: str) -> ClaimedJob:
    """A job that can only fail, made of whatever of the row is sound."""
    values: dict[str, Any] = dict(zip(CLAIMED, row, strict=True))
    wrong = [name for name, kinds in _KINDS.items() if type(values[name]) not in kinds]
    sound: dict[str, Any] = values | {name: _SOUND.get(_KINDS[name][0]) for name in wrong}
    return ClaimedJob(
        # Whatever it is: by this the row is found again.
        id=values["id"],
        name=values["name"],
        queue=values["queue"],
        payload=sound["payload"],
        meta=sound["meta"],
        priority=sound["priority"],
        attempt=sound["attempts"],
        failures=sound["failures"],
        deaths=sound["deaths"],
        max_retries=sound["max_retries"],
        timeout=sound["timeout"],
        dispatched_at=shown(sound["created_at"]),
        token=token,
        chain_id=sound["chain_id"],
        position=sound["position"],
        batch_id=sound["batch_id"],
        batch_role=_ROLES.get(values["batch_role"]),
        failed_with=corruption(wrong[0], values[wrong[0]]),
    )


def job_record(row: Sequence[Any]) -> JobRecord:
    """A row as anyone may read it."""
    values: dict[str, Any] = dict(zip(RECORD, row, strict=True))
    status = _STATUS.get(values["state"])
    error = None if values["error"] is None else error_record(values["error"])
    if status is None:
        status, error = "failed", corruption("state", values["state"])
    elif status == "pending" and type(values["due_at"]) is not int:
        # A claim will say so as well, unless the time never comes.
        status, error = "failed", corruption("due_at", values["due_at"])
    return JobRecord(
        id=_text(values["id"]),
        name=_text(values["name"]),
        queue=_text(values["queue"]),
        status=status,
        priority=whole(values["priority"]),
        attempts=whole(values["attempts"]),
        failures=whole(values["failures"]),
        deaths=whole(values["deaths"]),
        max_retries=whole(values["max_retries"]),
        timeout=values["timeout"] if isinstance(values["timeout"], int | float) else None,
        created_at=shown(values["created_at"]),
        available_at=shown(values["due_at"]),
        started_at=shown_or_none(values["started_at"]),
        finished_at=shown_or_none(values["finished_at"]),
        error=error,
        result=_text_or_none(values["result"]),
        payload=_text(values["payload"]),
        meta=_text_or_none(values["meta"]),
        note=_text_or_none(values["note"]),
        progress=_text_or_none(values["progress"]),
        cancel_requested=bool(values["cancel_requested"]),
        chain_id=_text_or_none(values["chain_id"]),
        position=None if values["position"] is None else whole(values["position"]),
        batch_id=_text_or_none(values["batch_id"]),
        batch_role=_ROLES.get(values["batch_role"]),
    )


def whole(value: object) -> int:
    """A number that a hand may have made something else; then 0."""
    return value if isinstance(value, int) else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else brief(value)


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)
