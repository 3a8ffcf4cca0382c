from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from goose_queues import values
from goose_queues.errors import InvalidName, InvalidQueueName


@pytest.mark.parametrize(("given", "seconds"), [(timedelta(minutes=5), 300.0), (60, 60.0), (0.5, 0.5), (0, 0.0)])
def test_a_duration_is_a_timedelta_or_seconds(given: Any, seconds: float) -> None:
    assert values.duration(given) == seconds
    assert values.delay(given) == seconds


@pytest.mark.parametrize("given", [-5, timedelta(seconds=-1), math.nan, math.inf, 10**400])
def test_a_duration_of_a_wrong_value_is_refused(given: Any) -> None:
    with pytest.raises(ValueError) as caught:
        values.delay(given)

    assert str(caught.value).startswith("delay must be a non-negative timedelta or number of seconds, not ")


@pytest.mark.parametrize("given", ["5m", "1000", True, None, object])
def test_a_duration_of_a_wrong_type_is_refused(given: Any) -> None:
    with pytest.raises(TypeError) as caught:
        values.delay(given, "retry_delay")

    assert str(caught.value) == f"retry_delay must be a non-negative timedelta or number of seconds, not {given!r}"


def test_nothing_is_dispatched_further_ahead_than_ten_years() -> None:
    with pytest.raises(ValueError) as late:
        values.delay(timedelta(days=40000))
    with pytest.raises(ValueError) as later:
        values.due_at(datetime(9999, 1, 1, tzinfo=UTC))

    assert str(late.value) == "delay is more than 10 years ahead: datetime.timedelta(days=40000)"
    assert str(later.value) == "at() is more than 10 years ahead: 9999-01-01T00:00:00+00:00"


def test_a_due_time_is_aware_and_kept_in_utc() -> None:
    there = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=2)))

    assert values.due_at(there).isoformat() == "2026-01-01T07:00:00+00:00"
    with pytest.raises(ValueError) as naive:
        values.due_at(datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    with pytest.raises(TypeError) as text:
        values.due_at("tomorrow")

    assert str(naive.value) == "at() needs an aware datetime: use datetime.now(timezone.utc)"
    assert str(text.value) == "at() needs an aware datetime, not 'tomorrow'"


def test_a_timeout_is_above_zero_and_none_means_no_timeout() -> None:
    assert values.timeout(None) is None
    assert values.timeout(24 * 3600) == 86400.0
    for given in (0, -1, math.inf):
        with pytest.raises(ValueError):
            values.timeout(given)
    with pytest.raises(ValueError) as caught:
        values.timeout(0)

    assert str(caught.value) == "timeout must be more than 0 s; None means no timeout"


@pytest.mark.parametrize(
    ("given", "fault"), [(-1, ValueError), (10**9, ValueError), (None, ValueError), (True, TypeError)]
)
def test_retries_are_0_to_1000(given: Any, fault: type[Exception]) -> None:
    assert [values.retries(n) for n in (0, 1000)] == [0, 1000]
    with pytest.raises(fault) as caught:
        values.retries(given)

    assert str(caught.value) == f"max_retries must be an integer 0..1000, not {given!r}"


@pytest.mark.parametrize(
    ("given", "fault"), [(1.5, TypeError), ("high", TypeError), (True, TypeError), (2**40, ValueError)]
)
def test_a_priority_is_a_small_integer(given: Any, fault: type[Exception]) -> None:
    assert [values.priority(n) for n in (-32768, 32767)] == [-32768, 32767]
    with pytest.raises(fault) as caught:
        values.priority(given)

    assert str(caught.value) == f"priority must be an integer -32768..32767, not {given!r}"


def test_an_integer_too_long_to_be_printed_is_refused_all_the_same() -> None:
    with pytest.raises(ValueError) as caught:
        values.priority(10**5000)

    assert str(caught.value) == "priority must be an integer -32768..32767, not one of 16610 bits"


@pytest.mark.parametrize(
    "name", ["", " a", "a/b", "x" * 65, "../x", "q; DROP TABLE", "\N{PILE OF POO}", "a\n", "é", None, 5, b"q"]
)
def test_a_queue_name_is_plain(name: Any) -> None:
    with pytest.raises(InvalidQueueName):
        values.queue_name(name)


def test_a_queue_name_says_what_is_allowed() -> None:
    assert values.queue_name("Emails_2.bulk-eu") == "Emails_2.bulk-eu"
    with pytest.raises(InvalidQueueName) as caught:
        values.queue_name("a\x1b[31m/b")

    assert str(caught.value) == "'a\\x1b[31m/b' is no name for a queue: use [A-Za-z0-9_.-]{1,64}"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["", "a\x00", "a\nb", "x" * 256, " a", "\ud800", None])
def test_a_jobs_name_is_printable_and_at_most_255_long(name: Any) -> None:
    with pytest.raises(InvalidName) as caught:
        values.job_name(name)

    assert str(caught.value).endswith(" is no name for a job: use 1 to 255 printable characters")
    assert len(str(caught.value)) < 200


def test_a_jobs_name_may_be_of_any_script() -> None:
    assert values.job_name("E-Mail schicken für Größe") == "E-Mail schicken für Größe"
