"""``goose new controller`` and ``goose new service``: one class, declared by a module, and its test."""

from __future__ import annotations

from typing import Annotated

import typer

from goose.commands.names import part_name
from goose.commands.new.home import Home
from goose.commands.new.options import ROOT_MODULE, DryRun, Force, Parent
from goose.commands.new.plan import Plan
from goose.commands.templates import render


def new_controller(
    name: Annotated[str, typer.Argument(help="What it is about: Orders, or OrdersController.")],
    module: Parent = ROOT_MODULE,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a controller and its test, and add it to a module's declarations."""
    named = part_name(name, "a controller", "Controller")
    home = Home.of(module)
    part = home.part("controllers", named)
    files = render("controller", **part.values, prefix=f"/{named.label.replace('_', '-')}")
    Plan.of_part(files, home.listed("declarations", part)).carry_out(dry_run=dry_run, force=force)


def new_service(
    name: Annotated[str, typer.Argument(help="What it is about: Orders, or OrdersService.")],
    module: Parent = ROOT_MODULE,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a service and its test, and add it to a module's declarations."""
    home = Home.of(module)
    part = home.part("services", part_name(name, "a service", "Service"))
    files = render("service", **part.values)
    Plan.of_part(files, home.listed("declarations", part)).carry_out(dry_run=dry_run, force=force)
