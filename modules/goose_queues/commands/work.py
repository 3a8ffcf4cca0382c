"""``goose queue work``: run jobs until told to stop."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

import typer

import goose
from goose.commands import invocation
from goose.instance import Instance
from goose.serving import stop_signals
from goose_queues.config import MAX_SLOTS
from goose_queues.supervisor import Supervisor, Workload
from goose_queues.values import queue_name

log = logging.getLogger("goose_queues.commands")


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


def _names(queues: str | None) -> tuple[str, ...] | None:
    if queues is None:
        return None
    try:
        return tuple(dict.fromkeys(queue_name(name.strip()) for name in queues.split(",")))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--queues") from error
