from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from goose_queues import backoff
from goose_queues.backoff import exponential, fixed


def test_a_fixed_wait_stays() -> None:
    assert [fixed(timedelta(seconds=30)).delay(n) for n in (1, 2, 1000)] == [30.0, 30.0, 30.0]


def test_an_exponential_wait_grows_up_to_its_cap() -> None:
    waits = exponential(1, cap=300)

    assert [waits.delay(n) for n in (1, 2, 3, 9, 10, 5000)] == [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]


def test_a_wait_is_never_below_100_ms() -> None:
    assert [fixed(0).delay(n) for n in (1, 1000)] == [0.1, 0.1]
    assert exponential(0).delay(5000) == 0.1


def test_jitter_only_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = exponential(10, cap=1000, jitter=0.1)

    monkeypatch.setattr(backoff.random, "random", lambda: 0.0)
    assert waits.delay(1) == 10.0
    monkeypatch.setattr(backoff.random, "random", lambda: 0.5)
    assert waits.delay(1) == 10.5


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: exponential(1, jitter=2), "exponential(jitter=) must be a number 0..1, not 2"),
        (lambda: exponential(1, factor=0.5), "exponential(factor=) must be a number 1..100, not 0.5"),
        (lambda: fixed(-1), "retry_delay must be a non-negative timedelta or number of seconds, not -1"),
        (lambda: exponential("1"), "exponential(base) must be a non-negative timedelta or number of seconds, not '1'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        make()

    assert str(caught.value) == sentence


def test_a_retry_delay_is_a_duration_or_a_backoff() -> None:
    assert backoff.backoff(2).delay(3) == 2.0
    assert backoff.backoff(exponential(2)).delay(3) == 8.0
