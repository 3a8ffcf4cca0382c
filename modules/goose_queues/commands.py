"""``goose queue``: work the queues of an application, and see how they stand.

Found by ``goose`` through ``QueuesModule.commands``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from typing import Annotated, Any, Final

import typer

import goose
from goose.commands.hook import application, invocation
from goose.instance import Instance
from goose.serving import stop_signals
from goose_queues.client import Client
from goose_queues.config import MAX_SLOTS
from goose_queues.record import QueueStats
from goose_queues.status import Stats
from goose_queues.supervisor import Supervisor, Workload
from goose_queues.values import queue_name

log = logging.getLogger("goose_queues.commands")

queue = typer.Typer(name="queue", help="Work the application's queues, and see how they stand.", no_args_is_help=True)

COUNTS: Final = ("pending", "scheduled", "processing", "completed", "failed", "cancelled")


@queue.command()
def work(
    ctx: typer.Context,
    queues: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these queues; else those of the application's settings.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=MAX_SLOTS, help="Concurrent jobs of each queue; else as in the settings.")
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is due and nothing runs.")] = False,
) -> None:
    """Run jobs until SIGINT or SIGTERM: the first finishes what runs, a second ends at once."""
    asked = invocation(ctx)
    asked.show_log()
    asyncio.run(serve(asked.application(), Workload(_names(queues), concurrency), burst=burst))


@queue.command()
def stats(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show how many jobs each queue has, by status."""
    found = asyncio.run(_stats(application(ctx)))
    if as_json:
        typer.echo(json.dumps({name: _plain(counts) for name, counts in sorted(found.items())}, indent=2))
        return
    for line in as_table(found):
        typer.echo(line)


async def serve(instance: Instance, workload: Workload, *, burst: bool) -> None:
    """Boot the application without its HTTP, and work until a signal or, with ``burst``, until nothing is due.

    Raises:
        WorkersStuck: Threads that do not end fill half of a queue's slots; what else ran has been finished.
    """
    stopping = asyncio.Event()
    with stop_signals(stopping):
        async with goose.running(instance, background=True, overrides={Workload: workload}) as kernel:
            supervisor = kernel.get(Supervisor)
            log.info("working on %s", ", ".join(f"{w.queue} ({w.slots})" for w in supervisor.workers) or "nothing")
            events = (stopping, supervisor.stuck)
            waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait()) for event in events]
            if burst:
                waits.append(asyncio.ensure_future(supervisor.idle()))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            log.info("stopping: running jobs are finished first")
            if not stopping.is_set():
                await supervisor.check()


def as_table(stats: Stats) -> list[str]:
    """One line for each queue, under a head."""
    rows = [("QUEUE", *(count.upper() for count in COUNTS))]
    rows += [(name, *(str(getattr(stats[name], count)) for count in COUNTS)) for name in sorted(stats)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


async def _stats(instance: Instance) -> Stats:
    async with goose.running(instance) as kernel:
        return await kernel.get(Client).stats()


def _plain(counts: QueueStats) -> dict[str, Any]:
    plain = dataclasses.asdict(counts)
    oldest = counts.oldest_pending_at
    plain["oldest_pending_at"] = None if oldest is None else oldest.isoformat()
    return plain


def _names(queues: str | None) -> tuple[str, ...] | None:
    if queues is None:
        return None
    try:
        return tuple(dict.fromkeys(queue_name(name.strip()) for name in queues.split(",")))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--queues") from error
