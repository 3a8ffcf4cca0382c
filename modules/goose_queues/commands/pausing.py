"""``goose queue pause`` and ``resume``: whether workers, in any process, claim from a queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias

import typer

from goose.commands import say
from goose_queues.client import Client
from goose_queues.commands.named import refuse_unknown
from goose_queues.commands.opened import opened

Queues: TypeAlias = Annotated[list[str], typer.Argument(metavar="QUEUE...", help="The queues.")]


def pause(ctx: typer.Context, queues: Queues) -> None:
    """Let no worker claim anything from these queues, in any process, until resume. What runs goes on."""
    asyncio.run(_each(ctx, queues, Client.pause, "paused"))


def resume(ctx: typer.Context, queues: Queues) -> None:
    """Let workers claim from these queues again."""
    asyncio.run(_each(ctx, queues, Client.resume, "resumed"))


async def _each(
    ctx: typer.Context, queues: list[str], steer: Callable[[Client, str], Awaitable[None]], done: str
) -> None:
    async with opened(ctx) as client:
        refuse_unknown(queues, await client.stats())
        for queue in dict.fromkeys(queues):
            await steer(client, queue)
            say(f"{done} {queue}")
