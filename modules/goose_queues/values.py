"""The values that users hand over, checked in their own line: durations, times, priorities, retries, names.

Called by ``job`` for class options, by ``config`` for the module's, and by ``dispatch`` for the sentence's.
Wrong types raise ``TypeError``, wrong values ``ValueError``; both name the option and what is allowed.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, TypeAlias

from goose_queues.errors import InvalidName, InvalidQueueName
from goose_queues.redact import cut

Duration: TypeAlias = timedelta | float
"""A ``timedelta``, or a number of seconds."""

MAX_DELAY: Final = 10 * 365.25 * 24 * 3600
"""Seconds: nothing is dispatched further ahead than ten years."""
MAX_RETRIES: Final = 1000
MAX_NAME: Final = 255
LOWEST_PRIORITY: Final = -32768
HIGHEST_PRIORITY: Final = 32767

QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class Unset(Enum):
    """The type of ``UNSET``."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return self.name


UNSET: Final = Unset.UNSET
"""An option that was not given, where None is a value of its own."""


def duration(value: object, option: str = "duration") -> float:
    """Seconds, from a ``timedelta`` or a number; finite and not negative."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{option} must be a non-negative timedelta or number of seconds, not {cut(repr(value))}")
    else:
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{option} must be a non-negative timedelta or number of seconds, not {cut(repr(value))}")
    return seconds


def delay(value: object, option: str = "delay") -> float:
    """Seconds until a job is due; at most ten years."""
    seconds = duration(value, option)
    if seconds > MAX_DELAY:
        raise ValueError(f"{option} is more than 10 years ahead: {cut(repr(value))}")
    return seconds


def due_at(value: object, option: str = "at()") -> datetime:
    """A time in UTC at which a job is due; at most ten years ahead, in the past means now."""
    if not isinstance(value, datetime):
        raise TypeError(f"{option} needs an aware datetime, not {cut(repr(value))}")
    if value.utcoffset() is None:
        raise ValueError(f"{option} needs an aware datetime: use datetime.now(timezone.utc)")
    if (value - datetime.now(UTC)).total_seconds() > MAX_DELAY:
        raise ValueError(f"{option} is more than 10 years ahead: {value.isoformat()}")
    return value.astimezone(UTC)


def timeout(value: object, option: str = "timeout") -> float | None:
    """Seconds for one attempt; None means that there is no limit."""
    if value is None:
        return None
    seconds = duration(value, option)
    if seconds == 0:
        raise ValueError(f"{option} must be more than 0 s; None means no timeout")
    return seconds


def retries(value: object, option: str = "max_retries") -> int:
    """How often a job may fail and be tried again: 0..1000."""
    return _integer(value, option, 0, MAX_RETRIES, none_is=ValueError)


def priority(value: object, option: str = "priority") -> int:
    """Higher runs first: -32768..32767."""
    return _integer(value, option, LOWEST_PRIORITY, HIGHEST_PRIORITY)


def queue_name(value: object) -> str:
    """The name of a queue: 1 to 64 of ASCII letters, digits, ``_``, ``.`` and ``-``."""
    if not isinstance(value, str) or QUEUE_NAME.match(value) is None:
        raise InvalidQueueName(value)
    return value


def job_name(value: object) -> str:
    """The stored name of a job: 1 to 255 printable characters without blanks at the ends."""
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= MAX_NAME
        or not value.isprintable()
        or value.strip() != value
    ):
        raise InvalidName(value)
    return value


def _integer(value: object, option: str, lowest: int, highest: int, none_is: type[Exception] = TypeError) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        fault = none_is if value is None else TypeError
        raise fault(f"{option} must be an integer {lowest}..{highest}, not {cut(repr(value))}")
    if not lowest <= value <= highest:
        raise ValueError(f"{option} must be an integer {lowest}..{highest}, not {_short(value)}")
    return int(value)


def _short(number: int) -> str:
    # repr() of an int refuses beyond 4,300 digits.
    return str(number) if number.bit_length() <= 128 else f"one of {number.bit_length()} bits"
