"""``goose new app``: a project that runs and passes its own tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goose.commands.errors import CommandError
from goose.commands.names import identifier
from goose.commands.new.dependencies import depends_on
from goose.commands.new.options import DryRun, Force
from goose.commands.new.plan import Plan
from goose.commands.output import say
from goose.commands.templates import render


def new_app(
    name: Annotated[str, typer.Argument(help="The project's name, and that of its folder.")],
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a project that runs and passes its own tests."""
    identifier(name, "a project")
    if depends_on(name):
        raise CommandError(
            f"{name!r} cannot name a project: it depends on a package of that name, which pip takes for it"
        )
    folder = Path(name)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise CommandError(f"{name} exists and is no folder: nothing was written")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise CommandError(f"the folder {name} is not empty: nothing was written; --force writes into it")
    Plan(folder, render("app", name=name)).carry_out(dry_run=dry_run, force=force)
    if not dry_run:
        say(f"\nNext: cd {name} && goose run")
