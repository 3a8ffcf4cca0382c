"""``goose new``: write a project, or a part of one, from templates."""

from __future__ import annotations

import typer

from goose.commands.new.app import new_app
from goose.commands.new.job import new_job
from goose.commands.new.module import new_module

__all__ = ["new"]

new = typer.Typer(name="new", help="Write a project, or a part of one.", rich_markup_mode=None, no_args_is_help=True)
new.command("app", epilog="Example: goose new app shop && cd shop && goose run")(new_app)
new.command("module", epilog="Example: goose new module orders --resource item:str quantity:int=1")(new_module)
new.command("job", epilog="Example: goose new job SendEmail --queue emails")(new_job)
