"""``goose queue work``: run jobs until told to stop, in this process or in several."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

import goose
from goose.commands import MIB, Invocation, Parent, Successor, did_you_mean, invocation, memory_size, resident_memory
from goose.instance import Instance
from goose_queues.client import Client
from goose_queues.commands.named import refuse_unknown
from goose_queues.commands.quota import Quota
from goose_queues.config import MAX_SLOTS
from goose_queues.job import Job
from goose_queues.supervisor import LAST_MOMENTS, Supervisor, Workload
from goose_queues.values import queue_name

log = logging.getLogger("goose_queues.commands")

MAX_PROCESSES: Final = 1_000


def work(
    ctx: typer.Context,
    queues: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these queues; else those of the application's settings.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_SLOTS, help="Concurrent jobs of each queue in each process; else as in the settings."
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=MAX_PROCESSES, help="So many processes, each replaced when it dies.")
    ] = 1,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is due and nothing runs.")] = False,
    max_jobs: Annotated[
        int | None, typer.Option(min=1, help="Replace a process once it has had so many jobs; what runs is finished.")
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Replace a process whose resident memory is above 512M or 1.5G (a number alone is MiB); what runs is finished.",
        ),
    ] = None,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="The log as JSON, one object in each line.")] = False,
) -> None:
    """Run jobs until SIGINT or SIGTERM: the first finishes what runs, a second ends at once."""
    asked = invocation(ctx)
    asked.show_log(as_json=json_logs)
    memory = None if max_memory is None else memory_size(max_memory, "--max-memory")
    shift = Shift(Workload(_names(queues), concurrency), burst, Quota(max_jobs, memory))
    if asked.parent is None and (processes > 1 or shift.quota):
        asked.keep(processes)
    else:
        asyncio.run(serve(asked, shift))


@dataclass(frozen=True, slots=True)
class Shift:
    """What one process is to do, and when it is done."""

    workload: Workload
    burst: bool
    """Until nothing is due and nothing runs."""
    quota: Quota


async def serve(asked: Invocation, shift: Shift) -> None:
    """Boot the application without its HTTP, and work until told to stop, or until the shift is over.

    Raises:
        WorkersStuck: Threads that do not end fill half of a queue's slots; what else ran has been finished.
    """
    await _refuse_misspelt(asked.application(), shift.workload.queues or ())
    overrides = {Workload: shift.workload}
    with asked.stopping() as stopping:
        async with goose.running(asked.application(), background=True, overrides=overrides) as kernel:
            supervisor = kernel.get(Supervisor)
            shift.quota.refuse_too_small()
            async with _reporting(asked.parent, supervisor):
                end = await _end(shift, supervisor, stopping)
                if asked.parent is not None and end in _LEAVING:
                    asked.parent.leaving(end, _LEAVING[end])
                log.info("stopping: running jobs are finished first")
                if end in {ENOUGH, GROWN}:
                    # Nobody waits for this process, so that they may take their time.
                    kernel.stop_background()
                    await _first({ASKED: stopping.wait(), STUCK: supervisor.stuck.wait(), IDLE: supervisor.finished()})
            if not stopping.is_set():
                await supervisor.check()


ASKED: Final = "it was asked to stop"
STUCK: Final = "threads are stuck"
IDLE: Final = "nothing is due and nothing runs"
ENOUGH: Final = "it has had as many jobs as --max-jobs lets it"
GROWN: Final = "it takes more memory than --max-memory lets it"

_LEAVING: Final[Mapping[str, Successor]] = {IDLE: "none", ENOUGH: "at once", GROWN: "not too often"}
"""Ends of which the parent is told before they come. What grows too large at once would do so again and again."""


async def _end(shift: Shift, supervisor: Supervisor, stopping: asyncio.Event) -> str:
    """Wait for a reason to end; which one."""
    waits: dict[str, Coroutine[Any, Any, Any]] = {
        ASKED: stopping.wait(),
        STUCK: supervisor.stuck.wait(),
        ENOUGH: shift.quota.jobs_had(supervisor),
        GROWN: shift.quota.memory_exceeded(),
    }
    if shift.burst:
        waits[IDLE] = supervisor.idle()
    return await _first(waits)


async def _first(waits: Mapping[str, Coroutine[Any, Any, Any]]) -> str:
    """The name of the wait that is over first; the others are given up."""
    tasks = {asyncio.ensure_future(wait): name for name, wait in waits.items()}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return next(name for task, name in tasks.items() if task in done)


@asynccontextmanager
async def _reporting(parent: Parent | None, supervisor: Supervisor) -> AsyncIterator[None]:
    """Within the block the parent, or else the log, is told that this process is at work, and how it stands."""
    on = ", ".join(f"{worker.queue} ({worker.slots})" for worker in supervisor.workers) or "nothing"
    if parent is None:
        log.info("working on %s", on)
        yield
        return

    def facts() -> dict[str, int]:
        running = supervisor.running
        return {"running": running, "done": supervisor.claimed - running, "memory_mib": resident_memory() // MIB}

    parent.limit = supervisor.hook_timeout + LAST_MOMENTS
    parent.ready(f"working on {on}")
    reporting = asyncio.ensure_future(parent.report(facts))
    try:
        yield
    finally:
        reporting.cancel()


async def _refuse_misspelt(instance: Instance, names: Sequence[str]) -> None:
    """See that queues are known to the application or to its store; one that may be meant for later gets a warning.

    Raises:
        CommandError: One of them is unknown, and another one is spelt nearly like it.
    """
    jobs = [declared.cls for declared in instance.new_kernel().declared(Job)]
    if {cls.__goose_options__.queue for cls in jobs}.issuperset(names):
        return
    async with goose.running(instance) as kernel:
        known = sorted(await kernel.get(Client).stats())
    for name in names:
        if did_you_mean(name, known):
            refuse_unknown([name], known)
        elif name not in known:
            log.warning(
                "no job and no setting names the queue %r, and nothing is in it yet", name, extra={"queue": name}
            )


def _names(queues: str | None) -> tuple[str, ...] | None:
    if queues is None:
        return None
    try:
        return tuple(dict.fromkeys(queue_name(name.strip()) for name in queues.split(",")))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--queues") from error
