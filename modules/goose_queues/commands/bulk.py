"""One deed for all jobs that a filter finds: counted first, then done to those that were counted. Called by ``steering``.

The jobs are found before the first of them is touched, as pages of a set that shrinks would leave some out. What changes
meanwhile is left alone and counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from goose.commands import CommandError, ask, progress, say
from goose_queues.client import Client
from goose_queues.commands.deeds import Deed
from goose_queues.commands.filters import Filter
from goose_queues.errors import JobConflict, JobNotFound, StoreUnavailable
from goose_queues.record import Status
from goose_queues.redact import one_line

AT_ONCE: Final = 8
"""Jobs that are steered at the same time; a store's pool has 10 connections."""

Target: TypeAlias = tuple[str, Status]
"""A job's id, and the status that it was found in."""


@dataclass(slots=True)
class Tally:
    """What has become of jobs so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    changed: int = 0
    """Those that were not any more what they had been found as."""
    refused: list[Target] = field(default_factory=list)
    """Those that are what they were, but cannot be steered by themselves: links behind one that is over."""
    refusal: str = ""
    """Why the last of those."""

    @property
    def done(self) -> int:
        """Jobs to which it was done."""
        return self.outcomes.total()

    def __str__(self) -> str:
        parts = [f"{number} {outcome}" for outcome, number in self.outcomes.items()]
        if self.changed:
            parts.append(f"{self.changed} had changed meanwhile")
        if self.refused:
            parts.append(f"{len(self.refused)} could not be: {self.refusal}")
        return ", ".join(parts) or "nothing done"


async def of_all(
    client: Client, deed: Deed, wanted: Filter, statuses: Sequence[Status], *, yes: bool, dry_run: bool
) -> None:
    """Count, ask, and do it.

    Raises:
        CommandError: Nobody can be asked; some could not be steered; it was stopped, or the store went away.
        typer.Abort: The answer was no.
    """
    await wanted.check(client)
    targets = await _find(client, wanted, statuses)
    what = _what(targets, wanted, statuses)
    if dry_run or not targets:
        say(what)
        return
    ask(f"{what}. {deed.question}", yes=yes)
    tally = Tally()
    try:
        with progress(deed.doing, len(targets)) as advance:
            await _carry_out(client, deed, targets, tally, advance)
    except asyncio.CancelledError:
        raise CommandError(f"stopped: {tally}, of {len(targets)}") from None
    except StoreUnavailable as error:
        raise CommandError(f"{error}; before that: {tally}, of {len(targets)}") from error
    if tally.refused:
        raise CommandError(str(tally))
    say(str(tally))


async def _find(client: Client, wanted: Filter, statuses: Sequence[Status]) -> list[Target]:
    with progress("looking", None) as advance:
        found: list[Target] = []
        for status in statuses:
            async for job in wanted.jobs(client, status):
                found.append((job.id, status))
                advance(1)
        return found


def _what(targets: Sequence[Target], wanted: Filter, statuses: Sequence[Status]) -> str:
    """``12 failed jobs in emails``, ``3 pending and 1 processing job in emails``, ``no failed jobs in emails``."""
    numbers = Counter(status for _, status in targets)
    if not targets:
        return f"no {' or '.join(statuses)} jobs{wanted}"
    listed = [f"{numbers[status]} {status}" for status in statuses if numbers[status]]
    last = numbers[next(status for status in reversed(statuses) if numbers[status])]
    return f"{' and '.join(listed)} job{'' if last == 1 else 's'}{wanted}"


async def _carry_out(
    client: Client, deed: Deed, targets: Sequence[Target], tally: Tally, advance: Callable[[int], None]
) -> None:
    """Try again what was refused, as long as that brings anything: a link can be retried once the one before it was."""
    left: Sequence[Target] = targets
    done = -1
    while left and tally.done != done:
        done, tally.refused = tally.done, []
        await _try_all(client, deed, left, tally, advance)
        left = tally.refused


async def _try_all(
    client: Client, deed: Deed, targets: Sequence[Target], tally: Tally, advance: Callable[[int], None]
) -> None:
    coming = iter(targets)

    async def one_after_another() -> None:
        for target in coming:
            if await _try(client, deed, target, tally):
                advance(1)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(one_after_another())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _try(client: Client, deed: Deed, target: Target, tally: Tally) -> bool:
    """Whether that settles it."""
    job_id, status = target
    try:
        await deed.do(client, job_id)
    except JobNotFound:
        tally.changed += 1
    except JobConflict as error:
        if error.status == status:
            tally.refused.append(target)
            tally.refusal = one_line(str(error))
            return False
        tally.changed += 1
    else:
        tally.outcomes[deed.outcome(status)] += 1
    return True
