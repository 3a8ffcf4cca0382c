"""``goose queue stats``: how many jobs each queue has, by status."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Annotated, Any, Final

import typer

import goose
from goose.commands import Table, application, say_json, show
from goose.instance import Instance
from goose_queues.client import Client
from goose_queues.record import QueueStats
from goose_queues.status import Stats

COUNTS: Final = ("pending", "scheduled", "processing", "completed", "failed", "cancelled")


def stats(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show how many jobs each queue has, by status."""
    found = asyncio.run(_stats(application(ctx)))
    if as_json:
        say_json({name: _plain(counts) for name, counts in sorted(found.items())})
    else:
        show(as_table(found))


def as_table(stats: Stats) -> Table:
    """One row for each queue."""
    rows = [(name, *(str(getattr(stats[name], count)) for count in COUNTS)) for name in sorted(stats)]
    return Table(("queue", *COUNTS), rows, COUNTS)


async def _stats(instance: Instance) -> Stats:
    async with goose.running(instance) as kernel:
        return await kernel.get(Client).stats()


def _plain(counts: QueueStats) -> dict[str, Any]:
    plain = dataclasses.asdict(counts)
    oldest = counts.oldest_pending_at
    plain["oldest_pending_at"] = None if oldest is None else oldest.isoformat()
    return plain
