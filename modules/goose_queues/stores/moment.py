"""Times as the tables hold them: whole microseconds since 1970 in UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def stored(moment: datetime) -> int:
    """An aware datetime as it is stored."""
    return (moment - _EPOCH) // _MICROSECOND


def span(seconds: float) -> int:
    """A duration as it is stored, rounded up: nothing runs early."""
    return math.ceil(seconds * 1_000_000)


def shown(value: Any) -> datetime:
    """A stored time as an aware datetime; 1970 where a hand has written something that is no time."""
    try:
        return _EPOCH + timedelta(microseconds=value)
    except (TypeError, OverflowError):
        return _EPOCH


def shown_or_none(value: Any) -> datetime | None:
    """The same for a column that may be empty."""
    return None if value is None else shown(value)
