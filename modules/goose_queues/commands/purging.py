"""``goose queue purge``: delete what is pending in a queue, after a question."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from goose.commands import CommandError, ask, progress, say
from goose_queues.client import Client
from goose_queues.commands.counting import counted
from goose_queues.commands.named import refuse_unknown
from goose_queues.commands.opened import opened
from goose_queues.errors import StoreUnavailable


def purge(
    ctx: typer.Context,
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="The queue.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many jobs it would be.")] = False,
) -> None:
    """Delete everything that is pending in a queue. What runs or has finished stays."""
    asyncio.run(_purge(ctx, queue, yes=yes, dry_run=dry_run))


async def _purge(ctx: typer.Context, queue: str, *, yes: bool, dry_run: bool) -> None:
    async with opened(ctx) as client:
        stats = await client.stats()
        refuse_unknown([queue], stats)
        pending = stats[queue].pending + stats[queue].scheduled
        what = f"{counted(pending, 'pending job')} in {queue}"
        if dry_run or not pending:
            say(what)
            return
        ask(f"{what}. Delete them?", yes=yes)
        await _delete(client, queue, pending)


async def _delete(client: Client, queue: str, expected: int) -> None:
    deleted = 0
    with progress("deleting", expected) as advance:

        def count(jobs: int) -> None:
            nonlocal deleted
            deleted += jobs
            advance(jobs)

        try:
            await client.purge(queue, deleted=count)
        except asyncio.CancelledError:
            raise CommandError(f"stopped: {counted(deleted, 'job')} deleted") from None
        except StoreUnavailable as error:
            raise CommandError(f"{error}; {counted(deleted, 'job')} deleted before") from error
    say(f"deleted {counted(deleted, 'pending job')} of {queue}")
