"""``goose run``: serve the application until SIGINT or SIGTERM."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from goose.commands.errors import CommandError
from goose.commands.hook import invocation
from goose.instance import Instance, Platform
from goose.serving import start


def run(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Listen here instead of the platform's host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen here instead of the platform's port; 0: any free one.")
    ] = None,
    reload: Annotated[bool, typer.Option("--reload", help="For development: start anew when a file changes.")] = False,
) -> None:
    """Serve the application and run its background work, until SIGINT or SIGTERM."""
    asked = invocation(ctx)
    asked.show_log()
    instance = asked.application()
    if reload:
        _serve_and_reload(instance, asked.name, host, port)
    else:
        start(_listening_on(instance, host, port))


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
