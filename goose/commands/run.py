"""``goose run``: serve the application until SIGINT or SIGTERM, in this process or in several."""

from __future__ import annotations

import asyncio
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from goose.commands.errors import CommandError
from goose.commands.hook import Invocation, invocation
from goose.commands.listening import bind, port_of
from goose.commands.memory import MIB, resident_memory
from goose.commands.processes import Parent
from goose.instance import Instance, Platform
from goose.serving import serve, start

MAX_WORKERS: Final = 1_000


def run(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Listen here instead of the platform's host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen here instead of the platform's port; 0: any free one.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=MAX_WORKERS, help="So many processes, each replaced when it dies.")
    ] = 1,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="The log as JSON, one object in each line.")] = False,
    reload: Annotated[bool, typer.Option("--reload", help="For development: start anew when a file changes.")] = False,
) -> None:
    """Serve the application and run its background work, until SIGINT or SIGTERM."""
    for option, given in (("--workers", workers > 1), ("--json-logs", json_logs)):
        if reload and given:
            raise typer.BadParameter("it does not go with --reload: leave one of them out", param_hint=option)
    asked = invocation(ctx)
    asked.show_log(as_json=json_logs)
    instance = asked.application()
    if reload:
        _serve_and_reload(instance, asked.name, host, port)
    elif asked.parent is not None:
        asyncio.run(_serve_among_others(instance, asked, asked.parent))
    elif workers > 1:
        _keep(asked, _listening_on(instance, host, port), workers)
    else:
        start(_listening_on(instance, host, port))


def _keep(asked: Invocation, instance: Instance, workers: int) -> None:
    """Bind what the processes are to listen on, and keep them running."""
    if instance.platform is None:
        asked.keep(workers)
        return
    host = instance.platform.host
    bound = bind(host, instance.platform.port)
    shown = f"[{host}]" if ":" in host else host
    try:
        asked.keep(workers, bound, f"serving on http://{shown}:{port_of(bound)} with {workers} processes")
    finally:
        for each in bound:
            each.close()


async def _serve_among_others(instance: Instance, asked: Invocation, parent: Parent) -> None:
    ready = asyncio.Event()

    async def report() -> None:
        await ready.wait()
        parent.ready("serving")
        await parent.report(lambda: {"memory_mib": resident_memory() // MIB})

    with asked.stopping() as stopping:
        reporting = asyncio.ensure_future(report())
        try:
            await serve([instance], ready=ready, stopping=stopping, sockets=parent.sockets())
        finally:
            reporting.cancel()


def _listening_on(instance: Instance, host: str | None, port: int | None) -> Instance:
    """The instance with its platform's address replaced; the application's own platform stays as it is."""
    asked = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if not asked:
        return instance
    platform = _platform(instance)
    if not is_dataclass(platform) or isinstance(platform, type):
        name = type(platform).__name__
        raise CommandError(f"{name} takes no --{next(iter(asked))}: set it where the platform is made")
    elsewhere: Any = replace(platform, **asked)
    twin = Instance(elsewhere, instance.module, instance.modules)
    twin.import_string = instance.import_string
    return twin


def _serve_and_reload(instance: Instance, name: str, host: str | None, port: int | None) -> None:
    import uvicorn  # as in serving: a tenth of the time to start

    platform = _platform(instance)
    uvicorn.run(
        name,
        host=platform.host if host is None else host,
        port=platform.port if port is None else port,
        reload=True,
        app_dir=str(Path.cwd()),
        lifespan="on",
    )


def _platform(instance: Instance) -> Platform:
    if instance.platform is None:
        raise CommandError("this application answers no HTTP (worker(...)): run it without --host, --port and --reload")
    return instance.platform
