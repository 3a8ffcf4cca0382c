"""``goose queue retry`` and ``cancel``: of jobs that are named, one by one, or of all that a filter finds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final, Literal, TypeAlias

import typer

from goose.commands import CommandError, say
from goose_queues.client import Client
from goose_queues.commands.bulk import of_all
from goose_queues.commands.counting import counted
from goose_queues.commands.deeds import CANCEL, RETRY, Deed
from goose_queues.commands.filters import Batch, Chain, Filter, Name, Queue
from goose_queues.commands.opened import opened
from goose_queues.errors import JobConflict, JobNotFound
from goose_queues.record import Status
from goose_queues.redact import one_line

Ids: TypeAlias = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The jobs; else all of a filter.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="With a filter: do not ask.")]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="With a filter: only say how many jobs it would be.")
]

_SHOWN: Final = 80
"""Characters of an id that somebody typed."""


def retry(
    ctx: typer.Context,
    ids: Ids = None,
    queue: Queue = None,
    status: Annotated[
        Literal["failed", "cancelled"] | None, typer.Option(help="Only in this state; else failed.")
    ] = None,
    name: Name = None,
    chain: Chain = None,
    batch: Batch = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Put failed or cancelled jobs back, due at once and with their whole budget of retries."""
    wanted = Filter(queue, name, chain, batch)
    asyncio.run(_steer(ctx, RETRY, ids or (), wanted, status, yes=yes, dry_run=dry_run))


def cancel(
    ctx: typer.Context,
    ids: Ids = None,
    queue: Queue = None,
    status: Annotated[
        Literal["pending", "processing"] | None, typer.Option(help="Only in this state; else both.")
    ] = None,
    name: Name = None,
    chain: Chain = None,
    batch: Batch = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="What their note is to say.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """End jobs: those that are pending never run, those that run are told to end."""
    wanted = Filter(queue, name, chain, batch)
    deed = CANCEL if reason is None else replace(CANCEL, do=lambda client, job_id: client.cancel(job_id, reason))
    asyncio.run(_steer(ctx, deed, ids or (), wanted, status, yes=yes, dry_run=dry_run))


async def _steer(
    ctx: typer.Context,
    deed: Deed,
    ids: Sequence[str],
    wanted: Filter,
    status: Status | None,
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    by_filter = status is not None or not wanted.is_empty
    if bool(ids) == by_filter:
        fault = "not both" if ids else "such as --queue emails"
        raise typer.BadParameter(f"name jobs by their ids, or a filter, {fault}", ctx=ctx)
    async with opened(ctx) as client:
        if ids:
            await _one_by_one(client, deed, list(dict.fromkeys(ids)))
        else:
            await of_all(client, deed, wanted, deed.statuses if status is None else (status,), yes=yes, dry_run=dry_run)


async def _one_by_one(client: Client, deed: Deed, ids: Sequence[str]) -> None:
    refused = 0
    for job_id in ids:
        try:
            said = await _one(client, deed, job_id)
        except (JobNotFound, JobConflict) as error:
            said = _refusal(error, job_id)
            if len(ids) == 1:
                raise CommandError(said) from error
            refused += 1
        say(said)
    if refused:
        raise CommandError(f"{refused} of {counted(len(ids), 'job')} could not be {deed.done}")


async def _one(client: Client, deed: Deed, job_id: str) -> str:
    await deed.do(client, job_id)
    try:
        return f"{job_id}: {deed.outcome((await client.get_status(job_id)).status)}"
    except JobNotFound:
        return f"{job_id}: {deed.done}"


def _refusal(error: JobNotFound | JobConflict, job_id: str) -> str:
    if isinstance(error, JobConflict):
        return one_line(str(error))
    return f"{one_line(job_id, _SHOWN)}: {error}"
