"""The rounds of a bench: in each, this queue and the store by its plainest statements do the same in turn, step by step."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, get_args

from goose_queues.bench.ground import Ground, opened
from goose_queues.bench.report import Latency, Plan, Rate, Report, Step
from goose_queues.bench.sides import Advance, Found, Ours, Raw, Side
from goose_queues.bench.work import no_ops
from goose_queues.config import Settings

ROUNDS: Final = 5
MOST_SAMPLES: Final = 100
"""Of the latency, in one round."""

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Advance]]
"""As ``goose.commands.progress``: from a label and a total to what is called with how much more has been done."""
Act: TypeAlias = Callable[[Side, Advance], Awaitable[None]]
Turn: TypeAlias = Callable[[str, int, Act], Awaitable[None]]


async def measure(settings: Settings, ground: Ground, plan: Plan, progress: Progress) -> Report:
    """Measure a store, and leave nothing behind there.

    Raises:
        StoreUnavailable: It does not answer.
        BenchRefused: Nothing may be made there.
        BenchFailed: Jobs did not run.
    """
    with _frozen_heap():
        async with opened(ground):
            return await _measured(settings, ground, plan, progress)


@dataclass(frozen=True, slots=True)
class Share:
    """How much each step of a round has to do."""

    alone: int
    together: int
    many: int
    late: int

    @classmethod
    def of(cls, jobs: int) -> Share:
        """A round's, of all the jobs."""
        share = max(jobs // ROUNDS, 10)
        alone, many = max(share // 20, 1), share // 2
        return cls(alone, share - alone - many, many, min(max(share // 50, 2), MOST_SAMPLES))

    @property
    def jobs(self) -> int:
        """That wait to be drained."""
        return self.alone + self.together + self.many


async def _measured(settings: Settings, ground: Ground, plan: Plan, progress: Progress) -> Report:
    ours, raw, share = Ours(settings, ground, plan), Raw(ground), Share.of(plan.jobs)
    # Tables are made, code is imported, connections are warm: what comes first would pay for it.
    await _round(ours, Share.of(0), plan.payload, _turns((ours, raw), "warming up", progress))
    ours.found, raw.found = Found(), Found()
    for number in range(ROUNDS):
        sides = (ours, raw) if number % 2 == 0 else (raw, ours)
        label = f"round {number + 1} of {ROUNDS}"
        await _round(ours, share, plan.payload, _turns(sides, label, progress))
    return Report(
        replace(plan, jobs=share.jobs * ROUNDS),
        ROUNDS,
        ground.shown,
        await ground.facts(),
        {step: Rate.of(ours.found.rates[step], raw.found.rates[step]) for step in get_args(Step)},
        Latency.of(ours.found.seconds),
        Latency.of(raw.found.seconds),
    )


async def _round(ours: Ours, share: Share, payload: int, turn: Turn) -> None:
    """Every step, by both sides in turn."""
    async with ours.booted(working=False):
        alone, together, many = (no_ops(size, payload) for size in (share.alone, share.together, share.many))
        await turn("dispatch one by one", len(alone), lambda side, advance: side.alone(alone, advance))
        await turn("dispatch together", len(together), lambda side, advance: side.together(together, advance))
        await turn("dispatch many", len(many), lambda side, advance: side.many(many, advance))
    async with ours.booted(working=True):
        late = no_ops(share.late, payload)
        await turn("drain", share.jobs, lambda side, advance: side.drain(share.jobs, advance))
        await turn("latency", len(late), lambda side, advance: side.late(late, advance))


def _turns(sides: Sequence[Side], label: str, progress: Progress) -> Turn:
    """What has the sides do a step, in this order, and shows it."""

    async def turn(step: str, size: int, act: Act) -> None:
        with progress(f"{label}: {step}", size * len(sides)) as advance:
            for side in sides:
                await act(side, advance)

    return turn


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """Keep what there is from being looked through by each collection of garbage: it takes 50 ms, at moments of chance."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
