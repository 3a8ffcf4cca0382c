"""What a job looks like to whoever asks, whatever the store has of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goose_queues.record import ErrorRecord, JobRecord
from goose_queues.status import Progress, View, status_of

NOW = datetime(2026, 5, 17, tzinfo=UTC)
RECORD = JobRecord(
    id="id-1",
    name="SendEmail",
    queue="emails",
    status="pending",
    priority=1,
    attempts=0,
    failures=0,
    deaths=0,
    max_retries=3,
    timeout=None,
    created_at=NOW,
    available_at=NOW,
    started_at=None,
    finished_at=None,
    error=None,
    result=None,
    payload="{}",
    meta=None,
    note=None,
    progress=None,
    cancel_requested=False,
    chain_id=None,
    position=None,
    batch_id=None,
)
NO_NAME = "no worker for SendEmail: no registered job has this name; a class that was renamed takes it as aliases="
NO_QUEUE = "no worker for queue emails: no registered job and no setting names it"


def view(names: Any = ("SendEmail",), queues: Any = ("emails",), seconds: float = 0) -> View:
    """What a process knows, so many seconds later."""
    return View(names, queues, lambda: NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("names", "queues", "note"),
    [
        (["SendEmail"], ["emails"], None),
        (["SendMail"], ["emails"], NO_NAME),
        (["SendEmail"], ["default"], NO_QUEUE),
        ([], [], f"{NO_NAME}; {NO_QUEUE}"),
    ],
)
def test_a_job_that_nobody_would_run_says_so(names: Any, queues: Any, note: str | None) -> None:
    assert status_of(RECORD, view(names, queues)).note == note


def test_that_is_said_of_pending_jobs_only_and_beside_what_there_is() -> None:
    assert status_of(replace(RECORD, status="completed"), view([], [])).note is None
    assert status_of(replace(RECORD, note="the default delay was used"), view([], ["emails"])).note == (
        f"the default delay was used; {NO_NAME}"
    )


def test_a_handler_that_does_not_end_after_its_timeout_is_overdue() -> None:
    running = replace(RECORD, status="processing", timeout=60.0, started_at=NOW)
    assert status_of(running, view(seconds=60.5)).note is None
    assert status_of(running, view(seconds=61.5)).note == (
        "overdue: it has run longer than its timeout of 60 s and has not ended"
    )
    assert status_of(replace(running, timeout=None), view(seconds=61.5)).note is None
    assert status_of(replace(running, status="completed"), view(seconds=61.5)).note is None


def test_without_a_view_nothing_is_said_of_workers() -> None:
    assert status_of(RECORD).note is None


def test_a_stored_name_forges_no_line() -> None:
    note = status_of(replace(RECORD, name="a\n\x1b[31mb" * 99), view([], ["emails"])).note
    assert note is not None
    assert note.startswith("no worker for a\\x0a\\x1b[31mba")
    assert len(note) < 300


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "9" * 5_000, '"\\ud800"'])
def test_what_is_no_json_is_noted_and_left_out(text: str) -> None:
    status = status_of(replace(RECORD, result=text, progress='{"done": 1}'))
    assert (status.result, status.progress) == (None, Progress(1, None, ""))
    assert status.note is not None
    assert status.note.startswith("corrupt row: result is '")
    assert len(status.note) < 200


def test_an_error_is_text_that_can_be_written_anywhere() -> None:
    status = status_of(replace(RECORD, error=ErrorRecord("ValueError", "a\ud800", "")))
    assert status.error == "ValueError: a\\ud800"
