"""Rows of the jobs table as records, and errors as text; the only place that knows which column is which field.

Nothing here trusts a row: a hand may have written anything into it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, get_args

from goose_queues.record import ClaimedJob, ErrorRecord, JobRecord, Status
from goose_queues.stores.sql.moment import shown, shown_or_none
from goose_queues.stores.sql.tables import READY, SCHEDULED, WAITING

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

_STATUS: Final[dict[str, Status]] = {
    **{status: status for status in get_args(Status)},
    READY: "pending",
    SCHEDULED: "pending",
    WAITING: "pending",
}


_ID_LENGTH: Final = 36


def is_id(text: str) -> bool:
    """Whether a job or batch can have this id; what cannot is not looked for."""
    return len(text) <= _ID_LENGTH and text.isascii()


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
        batch_role,
        error_record(error) if doomed else None,
    )


def _corrupt(row: Sequence[Any], token: str) -> ClaimedJob:
    """A job that can only fail, made of whatever of the row is sound."""
    values: dict[str, Any] = dict(zip(CLAIMED, row, strict=True))
    whole = ("priority", "due_at", "attempts", "failures", "deaths", "max_retries", "created_at")
    wrong = [name for name in whole if type(values[name]) is not int]
    if type(values["timeout"]) not in {int, float, type(None)}:
        wrong.append("timeout")
    if type(values["payload"]) is not str:
        wrong.append("payload")
    numbers = {name: values[name] if type(values[name]) is int else 0 for name in whole}
    return ClaimedJob(
        id=values["id"],
        name=values["name"],
        queue=values["queue"],
        payload=values["payload"] if type(values["payload"]) is str else "{}",
        meta=values["meta"],
        priority=numbers["priority"],
        attempt=numbers["attempts"],
        failures=numbers["failures"],
        deaths=numbers["deaths"],
        max_retries=numbers["max_retries"],
        timeout=None,
        dispatched_at=shown(numbers["created_at"]),
        token=token,
        chain_id=values["chain_id"],
        position=values["position"],
        batch_id=values["batch_id"],
        batch_role=values["batch_role"],
        failed_with=ErrorRecord("CorruptRow", f"corrupt row: {wrong[0]} is {_brief(values[wrong[0]])}", ""),
    )


def job_record(row: Sequence[Any]) -> JobRecord:
    """A row as anyone may read it."""
    values: dict[str, Any] = dict(zip(RECORD, row, strict=True))
    status = _STATUS.get(values["state"])
    error = None if values["error"] is None else error_record(values["error"])
    if status is None:
        status = "failed"
        error = ErrorRecord("CorruptRow", f"corrupt row: state is {_brief(values['state'])}", "")
    return JobRecord(
        id=values["id"],
        name=values["name"],
        queue=values["queue"],
        status=status,
        priority=values["priority"],
        attempts=values["attempts"],
        failures=values["failures"],
        deaths=values["deaths"],
        max_retries=values["max_retries"],
        timeout=values["timeout"],
        created_at=shown(values["created_at"]),
        available_at=shown(values["due_at"]),
        started_at=shown_or_none(values["started_at"]),
        finished_at=shown_or_none(values["finished_at"]),
        error=error,
        result=values["result"],
        payload=values["payload"],
        meta=values["meta"],
        note=values["note"],
        progress=values["progress"],
        cancel_requested=bool(values["cancel_requested"]),
        chain_id=values["chain_id"],
        position=values["position"],
        batch_id=values["batch_id"],
        batch_role=values["batch_role"],
    )


def error_text(error: ErrorRecord) -> str:
    """An error as the column holds it: ASCII, whatever characters the error has."""
    return json.dumps({"type": error.type, "message": error.message, "traceback": error.traceback})


def error_record(text: object) -> ErrorRecord:
    """The other way round; text that a hand has written becomes the message."""
    try:
        fields = json.loads(str(text))
        return ErrorRecord(str(fields["type"]), str(fields["message"]), str(fields["traceback"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return ErrorRecord("CorruptRow", f"corrupt row: error is {_brief(text)}", "")


def plain(text: str | None) -> str | None:
    """Free text that every database can hold: lone surrogates and NUL are written out."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
