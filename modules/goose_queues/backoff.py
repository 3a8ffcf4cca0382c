"""How long a failed job waits before it is tried again: frozen values, computed by ``runner`` after each failure."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from goose_queues.values import MAX_DELAY, Duration, delay, duration

SHORTEST: Final = 0.1
"""Seconds: the floor of every wait, so that a job that fails at once does not spin."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """A wait that may grow with each failure; made by ``exponential`` and ``fixed``."""

    base: float
    """Seconds after the first failure."""
    factor: float = 1.0
    """What each further failure multiplies the wait by."""
    cap: float = MAX_DELAY
    """Seconds: the longest wait."""
    jitter: float = 0.0
    """Part of the wait, 0..1, that is added at random: a retry never comes before its time."""

    def delay(self, attempt: int) -> float:
        """Seconds to wait after failure number ``attempt``, counted from 1."""
        wait = min(self._grown(attempt - 1), self.cap)
        if self.jitter:
            wait = min(wait * (1 + self.jitter * random.random()), self.cap)  # noqa: S311 - spreads load, guards nothing
        return max(wait, SHORTEST)

    def _grown(self, steps: int) -> float:
        try:
            return self.base * self.factor**steps
        except OverflowError:
            return math.inf if self.base else 0.0


def fixed(wait: Duration) -> Backoff:
    """The same wait after each failure; at least 100 ms."""
    return Backoff(delay(wait, "retry_delay"))


def exponential(base: Duration, cap: Duration = 3600.0, *, jitter: float = 0.0, factor: float = 2.0) -> Backoff:
    """A wait that grows with each failure: base, base * factor, base * factor**2, ... up to ``cap``.

    Args:
        base: The wait after the first failure; at least 100 ms.
        cap: The longest wait; an hour unless told otherwise.
        jitter: Part of the wait, 0..1, that is added at random.
        factor: What each further failure multiplies the wait by, 1..100.
    """
    if duration(jitter, "exponential(jitter=)") > 1:
        raise ValueError(f"exponential(jitter=) must be a number 0..1, not {jitter!r}")
    if not 1 <= duration(factor, "exponential(factor=)") <= 100:
        raise ValueError(f"exponential(factor=) must be a number 1..100, not {factor!r}")
    longest = delay(cap, "exponential(cap=)")
    return Backoff(delay(base, "exponential(base)"), float(factor), longest, float(jitter))


def backoff(value: object, option: str = "retry_delay") -> Backoff:
    """A backoff from what a user gave: one of these values, or a duration."""
    if isinstance(value, Backoff):
        return value
    return Backoff(delay(value, option))
