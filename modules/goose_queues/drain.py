"""Drain: run everything that is due, here and now, one job after the other, until nothing is due any more.

For tests and scripts, where no workers run; ``testing`` hands it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from goose.kernel import Kernel
from goose_queues.control import RunControl
from goose_queues.record import (
    Cancelled,
    Claim,
    ClaimedJob,
    Completed,
    ErrorRecord,
    Failed,
    Outcome,
    Released,
    Retry,
    Settlement,
    Snoozed,
)
from goose_queues.supervisor import Supervisor

LEASE: Final = 3600.0
"""Seconds: a drained job is held by nobody else meanwhile, and has no heartbeat."""
LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What became of the attempts that a drain made."""

    completed: int = 0
    failed: int = 0
    """Failed for good."""
    retried: int = 0
    """Failed, to be tried again later: not in this drain, unless the retry is due at once."""
    snoozed: int = 0
    cancelled: int = 0
    errors: tuple[ErrorRecord, ...] = ()
    """Of the attempts that failed, in their order."""


async def drain(kernel: Kernel, *, limit: int = LIMIT) -> DrainReport:
    """Run every job that is due now, of every queue, and what those jobs dispatch; return when nothing is due.

    All of them run in this process, where ``overrides`` hold: those with ``isolation="process"`` too.

    Args:
        kernel: The booted application.
        limit: Attempts at most, so that jobs which dispatch one another without end are noticed.

    Raises:
        RuntimeError: The limit was reached and more is due.
    """
    supervisor = kernel.get(Supervisor)
    outcomes: list[Outcome] = []
    while await _round(supervisor, outcomes, limit):
        pass
    return _report(outcomes)


async def _round(supervisor: Supervisor, outcomes: list[Outcome], limit: int) -> bool:
    """Empty each queue once; whether there was anything."""
    before = len(outcomes)
    for queue in sorted(await supervisor.store.stats()):
        while (claimed := await _claim(supervisor, queue)) is not None:
            if len(outcomes) >= limit:
                await _settle(supervisor, claimed, Released())
                raise RuntimeError(f"drain() made {limit} attempts and more jobs are due: do they dispatch each other?")
            outcome = await supervisor.runner.run_here(claimed, RunControl())
            await _settle(supervisor, claimed, outcome)
            outcomes.append(outcome)
    return len(outcomes) > before


async def _claim(supervisor: Supervisor, queue: str) -> ClaimedJob | None:
    limit = supervisor.settings.limits.get(queue)
    claim = Claim(queue, supervisor.registry.names, 1, LEASE, supervisor.identity, fleet_limit=limit)
    return next(iter((await supervisor.store.claim(claim)).jobs), None)


async def _settle(supervisor: Supervisor, claimed: ClaimedJob, outcome: Outcome) -> None:
    await supervisor.store.settle([Settlement(claimed, outcome)])
    supervisor.completions.settled((claimed.id,))


def _report(outcomes: Iterable[Outcome]) -> DrainReport:
    outcomes = list(outcomes)
    count = Counter(type(outcome) for outcome in outcomes)
    return DrainReport(
        completed=count[Completed],
        failed=count[Failed],
        retried=count[Retry],
        snoozed=count[Snoozed],
        cancelled=count[Cancelled],
        errors=tuple(outcome.error for outcome in outcomes if isinstance(outcome, Retry | Failed)),
    )
