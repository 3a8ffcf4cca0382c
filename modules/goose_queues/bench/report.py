"""What a bench has found: plain frozen data, and the form that programs read."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

Step: TypeAlias = Literal["dispatch", "dispatch_together", "dispatch_many", "drain"]


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one step: the median of the rounds, in jobs a second."""

    goose: float
    raw: float
    """Of the store's plainest statements."""

    @classmethod
    def of(cls, goose: Sequence[float], raw: Sequence[float]) -> Self:
        """Of the rates of each round."""
        return cls(statistics.median(goose), statistics.median(raw))

    @property
    def ratio(self) -> float:
        """What a queue leaves of the limit."""
        return self.goose / self.raw


@dataclass(frozen=True, slots=True)
class Latency:
    """Of all samples of all rounds, in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Of at least two samples."""
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        return cls(cuts[49] * 1000, cuts[94] * 1000, cuts[98] * 1000)

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return {"p50": round(self.p50, 3), "p95": round(self.p95, 3), "p99": round(self.p99, 3)}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done."""

    jobs: int
    """That are dispatched and run, in all rounds together."""
    concurrency: int
    payload: int
    """Bytes of JSON."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, where, and how fast."""

    plan: Plan
    rounds: int
    url: str
    """Of the application's queue, its password masked."""
    facts: Mapping[str, str]
    """``server``, and the settings that say how durable a commit is there."""
    rates: Mapping[Step, Rate]
    latency: Latency
    """From the call of a dispatch to the start of its handler."""
    raw_latency: Latency
    """Storing a row and taking it."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        rates = {
            step: {"rate": round(rate.goose), "raw": round(rate.raw), "ratio": round(rate.ratio, 3)}
            for step, rate in self.rates.items()
        }
        return {
            "url": self.url,
            "store": dict(self.facts),
            "jobs": self.plan.jobs,
            "rounds": self.rounds,
            "concurrency": self.plan.concurrency,
            "payload": self.plan.payload,
            "rates": rates,
            "latency": {**self.latency.plain(), "raw": self.raw_latency.plain()},
        }
