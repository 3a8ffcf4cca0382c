"""``goose queue list``: jobs, one on a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from goose.commands import Table, remark, say_json, show
from goose_queues.commands.ages import when
from goose_queues.commands.filters import Batch, Chain, Filter, Name, Queue
from goose_queues.commands.opened import opened
from goose_queues.commands.plain import plain
from goose_queues.listing import JobListing
from goose_queues.record import Status
from goose_queues.redact import mask_secrets, one_line
from goose_queues.status import JobStatus

MOST: Final = 50
TOGETHER: Final = 1_000
"""Jobs at most that one table holds; behind it another one begins."""
HEAD: Final = ("id", "name", "queue", "status", "attempts", "when", "note")


def list_jobs(
    ctx: typer.Context,
    queue: Queue = None,
    status: Annotated[Status | None, typer.Option(help="Only in this state.")] = None,
    name: Name = None,
    chain: Chain = None,
    batch: Batch = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = MOST,
    every: Annotated[bool, typer.Option("--all", help="However many there are.")] = False,
    cursor: Annotated[str | None, typer.Option(metavar="TEXT", help="Go on where a list ended that said so.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one job on a line.")] = False,
) -> None:
    """List jobs: what runs, what is next, what is due later, then what has finished, newest first."""
    wanted = Filter(queue, name, chain, batch)
    asyncio.run(_list(ctx, wanted, status, None if every else limit, cursor, as_json=as_json))


async def _list(
    ctx: typer.Context,
    wanted: Filter,
    status: Status | None,
    limit: int | None,
    cursor: str | None,
    *,
    as_json: bool,
) -> None:
    async with opened(ctx) as client:
        await wanted.check(client)
        listing = wanted.jobs(client, status, limit, cursor)
        if as_json:
            async for job in listing:
                say_json(plain(job), on_one_line=True)
        else:
            async for jobs in _tables(listing):
                show(as_table(jobs, datetime.now(UTC)))
        if listing.cursor is not None:
            remark(f"There are more: --cursor {listing.cursor}")


def as_table(jobs: Sequence[JobStatus], now: datetime) -> Table:
    """One row for each job."""
    return Table(HEAD, [_row(job, now) for job in jobs], ("attempts",), cut=("note",), spare=("attempts", "queue"))


def _row(job: JobStatus, now: datetime) -> list[str]:
    note = "; ".join(mask_secrets(text) for text in (job.error, job.note) if text)
    return [
        one_line(job.id, 80),
        one_line(job.name, 80),
        one_line(job.queue, 80),
        job.status,
        str(job.attempts),
        when(job, now),
        one_line(note),
    ]


async def _tables(listing: JobListing) -> AsyncIterator[list[JobStatus]]:
    """As many at a time as are held in memory; nothing at all is one empty table."""
    jobs: list[JobStatus] = []
    begun = False
    async for job in listing:
        jobs.append(job)
        if len(jobs) == TOGETHER:
            yield jobs
            jobs, begun = [], True
    if jobs or not begun:
        yield jobs
