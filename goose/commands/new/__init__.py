"""``goose new``: write a project, or a part of one, from templates."""

from __future__ import annotations

import typer

from goose.commands.new.app import new_app
from goose.commands.new.job import new_job
from goose.commands.new.middleware import new_middleware
from goose.commands.new.module import new_module
from goose.commands.new.parts import new_controller, new_service

__all__ = ["new"]

new = typer.Typer(name="new", help="Write a project, or a part of one.", rich_markup_mode=None, no_args_is_help=True)
new.command("app", epilog="Example: goose new app shop && cd shop && goose run")(new_app)
new.command("module", epilog="Example: goose new module orders --resource item:str quantity:int=1")(new_module)
new.command("controller", epilog="Example: goose new controller Orders --module app.orders.module")(new_controller)
new.command("service", epilog="Example: goose new service Orders --dry-run")(new_service)
new.command("job", epilog='Example: goose new job SendEmail to:str "cc:list[str]=[]" --queue emails --retries 5')(
    new_job
)
new.command("middleware", epilog="Example: goose new middleware Timing")(new_middleware)
