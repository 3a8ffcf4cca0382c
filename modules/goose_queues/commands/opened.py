"""The queue of the application that a command was called for, without its workers. Used by every command but ``work``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import typer

import goose
from goose.commands import application
from goose_queues.client import Client


@asynccontextmanager
async def opened(ctx: typer.Context) -> AsyncIterator[Client]:
    """Boot the application as it stands; its workers stay out of it, and those of other processes hear nothing of it.

    Raises:
        GooseError: It cannot be booted.
    """
    async with goose.running(application(ctx)) as kernel:
        yield kernel.get(Client)
