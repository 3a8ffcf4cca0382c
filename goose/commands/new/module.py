"""``goose new module``: a module in a package of its own, with what a resource takes where that is wanted."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from goose.commands.errors import CommandError
from goose.commands.names import Name, part_name, singular
from goose.commands.new.attributes import Attribute
from goose.commands.new.fields import OF_MODELS, read_fields
from goose.commands.new.home import Home
from goose.commands.new.options import ROOT_MODULE, DryRun, Force, Parent
from goose.commands.new.plan import Plan
from goose.commands.templates import render

TAKEN: Final = {
    "migrations": "a folder of that name holds the versions of the tables",
    "entities": "a file of that name holds what a resource stores",
    "models": "a file of that name holds what a resource says over HTTP",
}
"""Labels that would be in somebody's way, and whose."""
OF_ENTITIES: Final = OF_MODELS | {"id", "metadata", "registry", "self"}
"""Names that no field of a resource may have: it is a pydantic model over HTTP, and SQLAlchemy's in the database."""


def new_module(
    name: Annotated[str, typer.Argument(help="What it is about: orders, or OrdersModule.")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD]...", help="With --resource: item:str quantity:int=1")
    ] = None,
    resource: Annotated[
        bool, typer.Option("--resource", help="With an entity, create/read/update/delete over HTTP, and a migration.")
    ] = False,
    entity: Annotated[
        str | None, typer.Option(metavar="E", help="The resource's class, else the singular of the name: Order.")
    ] = None,
    module: Parent = ROOT_MODULE,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a module with its tests, and add it to another module's imports."""
    if not resource and (fields or entity):
        raise typer.BadParameter("fields and --entity are those of a resource: say --resource as well")
    named = part_name(name, "a module", "Module")
    if named.label in TAKEN:
        raise CommandError(f"{name!r} cannot name a module: {TAKEN[named.label]}")
    one = entity or singular(named.cls.removesuffix("Module"))
    thing = part_name(one, "an entity") if resource else Name(one, named.label)
    home = Home.of(module)
    part = home.module(named)
    values = {
        **part.values,
        "package": part.module.removesuffix(".module"),
        "entity": thing.cls,
        "entity_label": thing.label,
        "table": named.label,
        "fields": _fields(fields or ["name:str"]) if resource else (),
        "resource": resource,
    }
    files = {file.path: file for kind in ("module", "resource")[: 1 + resource] for file in render(kind, **values)}
    Plan.of_part(list(files.values()), home.listed("imports", part)).carry_out(dry_run=dry_run, force=force)


def _fields(typed: list[str]) -> tuple[Attribute, ...]:
    return tuple(map(Attribute.of, read_fields(typed, OF_ENTITIES)))
