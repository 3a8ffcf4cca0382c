"""``goose new job``: work for the background, and its test."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from goose.commands.names import part_name, queue_name
from goose.commands.new.fields import OF_MODELS, read_fields
from goose.commands.new.home import Home
from goose.commands.new.options import ROOT_MODULE, DryRun, Force, Parent
from goose.commands.new.plan import Plan
from goose.commands.templates import render

OF_JOBS: Final = OF_MODELS | {"handle", "on_failure", "retry_after", "should_retry"}
"""What every job has already."""
NEARBY: Final = frozenset({"Field", "Job", "JobContext", "self"})
"""What the class's own file imports, and what its methods begin with: a field of such a name would be taken for it."""
MAX_RETRIES: Final = 1000
MAX_TIMEOUT: Final = 10 * 366 * 24 * 3600
"""Seconds: ten years."""


def new_job(
    name: Annotated[str, typer.Argument(help="The job's class: SendEmail.")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD]...", help='Its payload: to:str "attachments:list[str]=[]"')
    ] = None,
    queue: Annotated[str | None, typer.Option(metavar="Q", help="The queue it goes to; else the default one.")] = None,
    retries: Annotated[
        int | None,
        typer.Option(
            min=0, max=MAX_RETRIES, help="How many failed attempts are followed by another; else the default."
        ),
    ] = None,
    timeout: Annotated[
        int | None, typer.Option(min=1, max=MAX_TIMEOUT, metavar="SECONDS", help="For one attempt; else the default.")
    ] = None,
    module: Parent = ROOT_MODULE,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a job and its test, and add it to a module's declarations."""
    job = part_name(name, "a job")
    options = {
        "queue": None if queue is None else f'"{queue_name(queue)}"',
        "max_retries": retries,
        "timeout": timeout,
    }
    home = Home.of(module)
    part = home.part("jobs", job)
    files = render(
        "job",
        **part.values,
        fields=read_fields(fields or (), OF_JOBS | NEARBY),
        options=[f"{option}={value}" for option, value in options.items() if value is not None],
    )
    Plan.of_part(files, home.listed("declarations", part)).carry_out(dry_run=dry_run, force=force)
