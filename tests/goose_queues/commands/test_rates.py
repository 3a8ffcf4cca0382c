"""Rates between two looks: right where jobs only come and end, and never negative."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goose_queues import QueueStats
from goose_queues.commands.rates import Rates, rates


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        ({}, {}, (0, 0, 0)),
        ({"pending": 1}, {"pending": 5}, (2, 0, 0)),
        ({"pending": 4}, {"processing": 2, "completed": 2}, (0, 1, 0)),
        ({"pending": 4}, {"completed": 3, "failed": 1}, (0, 2, 0.5)),
        ({"pending": 4}, {"pending": 4, "completed": 4}, (2, 2, 0)),
        ({"scheduled": 4}, {"cancelled": 4}, (0, 2, 0)),
        # Pruned, purged, and put back by hand.
        ({"completed": 9, "pending": 2}, {"completed": 1, "pending": 4}, (1, 0, 0)),
        ({"pending": 100}, {"pending": 0}, (0, 0, 0)),
        ({"failed": 4}, {"failed": 0, "pending": 4}, (2, 0, 0)),
    ],
)
def test_in_two_seconds(before: dict[str, Any], after: dict[str, Any], seen: tuple[float, ...]) -> None:
    assert rates(QueueStats(**before), QueueStats(**after), 2) == Rates(*seen)


COUNTS = st.builds(
    QueueStats,
    **{
        name: st.integers(0, 1000)
        for name in ("pending", "scheduled", "processing", "completed", "failed", "cancelled")
    },
)


@given(COUNTS, COUNTS)
def test_never_negative(before: QueueStats, after: QueueStats) -> None:
    assert min(dataclasses.astuple(rates(before, after, 0.5))) >= 0
