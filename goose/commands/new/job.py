"""``goose new job``: work for the background, and its test."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from goose.commands.names import class_name, queue_name
from goose.commands.new.home import Home
from goose.commands.new.options import ROOT_MODULE, DryRun, Force, Parent
from goose.commands.new.plan import Plan
from goose.commands.templates import render
from goose.declaration import snake_case

IMPORTED: Final = ("Job", "JobContext", "Client")


def new_job(
    name: Annotated[str, typer.Argument(help="The job's class: SendEmail.")],
    queue: Annotated[str | None, typer.Option(metavar="Q", help="The queue it goes to; else the default one.")] = None,
    module: Parent = ROOT_MODULE,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a job and its test, and add it to a module's declarations."""
    cls = class_name(name, "a job", IMPORTED)
    label = snake_case(cls)
    home = Home.of(module)
    place = f"{home.package}.jobs.{label}"
    files = render(
        "job",
        name=cls,
        label=label,
        module=place,
        folder=home.folder.as_posix(),
        tests=home.tests.as_posix(),
        queue=None if queue is None else queue_name(queue),
    )
    Plan.of_part(files, home.listed("declarations", cls, place)).carry_out(dry_run=dry_run, force=force)
