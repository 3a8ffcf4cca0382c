"""What travels between a worker and its child processes."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from goose.log import Style
from goose.origin import Origin
from goose_queues import wire
from goose_queues.errors import JobTimeout, ProcessDied
from goose_queues.record import (
    Cancelled,
    ClaimedJob,
    Completed,
    Doomed,
    ErrorRecord,
    Failed,
    Outcome,
    Released,
    Retry,
    Snoozed,
)
from goose_queues.wire import HEAD, Done, Hello, Judge, Run, pack, unpack

ERROR = ErrorRecord("ValueError", "no \ud800 such\x00 order: ä", "Traceback ...")
CLAIMED = ClaimedJob(
    id="id-1",
    name="Report",
    queue="default",
    payload='{"title":"täglich"}',
    meta=None,
    priority=1,
    attempt=2,
    failures=1,
    deaths=0,
    max_retries=3,
    timeout=0.1,
    dispatched_at=datetime(2027, 1, 1, 9, 30, 0, 123456, tzinfo=UTC),
    token="token",
    failed_with=ERROR,
)
OUTCOMES = [
    Completed('{"a": [1, 2.5, null]}', "a note"),
    Retry(1 / 3, ERROR),
    Snoozed(until=datetime(2027, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)),
    Failed(ERROR, "a note"),
    Doomed(ERROR),
    Cancelled("not needed"),
    Released(),
]


def there(message: Any) -> Any:
    """The message at the other end."""
    data = pack(message)
    (size,) = HEAD.unpack(data[: HEAD.size])
    assert size == len(data) - HEAD.size
    return unpack(data[HEAD.size :])


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_outcomes(outcome: Outcome) -> None:
    """Every outcome arrives as it was."""
    assert there(Done(outcome)) == Done(outcome)


def test_every_outcome_was_tried() -> None:
    """None is left out above."""
    assert {type(outcome) for outcome in OUTCOMES} == set(get_args(Outcome))


def test_orders() -> None:
    """A claimed job arrives with everything that a claim gives."""
    assert there(Run(CLAIMED)) == Run(CLAIMED)
    assert there(Judge(CLAIMED, -11)) == Judge(CLAIMED, -11)


def test_hello() -> None:
    """Several values arrive as a tuple."""
    hello = Hello((Origin("main", "app"), Origin("x", "y.z", "/x.py")), ("/a", "/b"), (), None, Style(20, as_json=True))
    assert there(hello) == hello


def test_an_unknown_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that the other side does not know is left out."""
    text = json.loads(pack(Run(CLAIMED))[HEAD.size :])
    text["claimed"]["colour"] = "red"
    assert unpack(json.dumps(text).encode()) == Run(CLAIMED)


def test_a_new_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that a record gets later travels without further ado."""
    newer = dataclasses.make_dataclass("ClaimedJob", [("colour", str)], bases=(ClaimedJob,), frozen=True, kw_only=True)
    monkeypatch.setitem(wire._CLASSES, "ClaimedJob", newer)
    facts = {field.name: getattr(CLAIMED, field.name) for field in dataclasses.fields(CLAIMED)}
    assert there(Run(newer(**facts, colour="red"))).claimed.colour == "red"


def test_other_classes() -> None:
    """Nothing is made but what is listed."""
    with pytest.raises(KeyError):
        unpack(b'{"$":"Popen","args":"ls"}')


@pytest.mark.parametrize(
    ("exit_code", "error", "text"),
    [
        (None, JobTimeout, "Report ran longer than its timeout of 0.1 s"),
        (3, ProcessDied, "Report's process ended with exit code 3"),
        (0, ProcessDied, "Report's process ended with exit code 0"),
        (-9, ProcessDied, "Report's process was killed by SIGKILL"),
        (-63, ProcessDied, "Report's process was killed by signal 63"),
    ],
)
def test_what_is_judged(exit_code: int | None, error: type[Exception], text: str) -> None:
    """The end of a process in one sentence."""
    found = Judge(CLAIMED, exit_code).error()
    assert (type(found), str(found)) == (error, text)
