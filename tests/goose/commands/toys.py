"""The application whose command ``goose toys play`` the tests of several processes run: it does as it is told."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

import goose
from goose.commands import CommandError, Invocation, Parent, invocation
from goose.commands.processes import keeper, parent, restarts

toys = typer.Typer(name="toys", help="Processes that do as they are told.")
log = logging.getLogger("toys")

keeper.GIVE_UP = 2
keeper.STATE_EVERY = parent.REPORT_EVERY = 0.05
restarts.FIRST = float(os.environ.get("FIRST", "0.01"))


@toys.command()
def play(
    ctx: typer.Context,
    what: str,
    count: int = 1,
    json_logs: Annotated[bool, typer.Option("--json-logs")] = False,
) -> None:
    """Play in several processes."""
    asked = invocation(ctx)
    asked.show_log(as_json=json_logs)
    if asked.parent is None:
        asked.keep(count, notice="the first one plays")
    else:
        asyncio.run(plays(asked, asked.parent, what))


@toys.command()
def count() -> None:
    """Here so that the other needs its name."""


async def plays(asked: Invocation, parent: Parent, what: str) -> None:
    if Path("broken").exists() or what == "refuse":
        note(parent, "refuses")
        raise CommandError("no disk")
    if what == "vanish":
        note(parent, "vanishes")
        os._exit(7)
    if what == "hesitate":
        note(parent, "hesitates")
        await file("go")
    with asked.stopping() as stopping:
        note(parent, "up")
        parent.ready("playing")
        reporting = asyncio.ensure_future(parent.report(lambda: {"balls": 3}))
        if what == "talk":
            for number in range(20):
                log.info("x" * 30_000, extra={"line": number})
        if what == "fill" and not Path("full").exists():
            Path("full").touch()
            parent.leaving("it is full", "at once")
            await file("go")
        elif what == "swell":
            parent.leaving("it is swollen", "not too often")
        elif what == "once":
            parent.leaving("it is done", "none")
        else:
            await stopping.wait()
        if what in {"linger", "trip"}:
            note(parent, "lingers")
            await file("go")
        reporting.cancel()
    note(parent, "down")
    if what == "trip":
        raise CommandError("it tripped")


async def file(name: str) -> None:
    while not Path(name).exists():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


def note(parent: Parent, word: str) -> None:
    line = f"{word} {parent.number} {os.getpid()}\n".encode()
    descriptor = os.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, line)
    os.close(descriptor)


class ToyModule(goose.Module):
    commands = "main:toys"


app = goose.worker(ToyModule)
