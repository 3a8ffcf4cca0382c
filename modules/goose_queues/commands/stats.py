"""``goose queue stats``: how many jobs each queue has, by status; once, or again and again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from goose.commands import say_json, show
from goose_queues.commands.counts import as_table
from goose_queues.commands.named import refuse_unknown
from goose_queues.commands.opened import opened
from goose_queues.commands.plain import plain
from goose_queues.commands.watching import watch


def stats(
    ctx: typer.Context,
    queues: Annotated[list[str] | None, typer.Argument(metavar="[QUEUE]...", help="Only these queues.")] = None,
    again: Annotated[bool, typer.Option("--watch", help="Look again and again, with rates, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600, help="With --watch: seconds from one look to the next.")
    ] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="As JSON, for programs; with --watch one line for each look.")
    ] = False,
) -> None:
    """Show how many jobs each queue has, by status, and how long the oldest one waits."""
    asyncio.run(_stats(ctx, tuple(dict.fromkeys(queues or ())), interval if again else None, as_json=as_json))


async def _stats(ctx: typer.Context, names: tuple[str, ...], interval: float | None, *, as_json: bool) -> None:
    async with opened(ctx) as client:
        found = await client.stats()
        refuse_unknown(names, found)
        if interval is not None:
            await watch(client, names, interval, as_json=as_json)
            return
        chosen = {name: found[name] for name in names or sorted(found)}
        if as_json:
            say_json({name: plain(counts) for name, counts in chosen.items()})
        else:
            show(as_table(chosen, datetime.now(UTC)))
