"""``goose new middleware``: code around every job, its test, and its place in the application's ``QueuesModule``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from goose.commands.errors import CannotRegister
from goose.commands.hook import invocation
from goose.commands.names import part_name
from goose.commands.new.home import Home, Listed, Part
from goose.commands.new.options import ROOT_MODULE, DryRun, Force
from goose.commands.new.plan import Plan
from goose.commands.scaffold import Edit, read
from goose.commands.templates import render

QUEUES: Final = "QueuesModule"


def new_middleware(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What it does: Timing, or TimingMiddleware.")],
    module: Annotated[
        str, typer.Option("--module", metavar="M", help="The module beside which it stands: app.orders.module.")
    ] = ROOT_MODULE,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a middleware and its test, and add it to the QueuesModule of the application."""
    part = Home.of(module).part("middleware", part_name(name, "a middleware", "Middleware"))
    files = render("middleware", **part.values)
    start = Path(*invocation(ctx).name.partition(":")[0].split(".")).with_suffix(".py")
    Plan.of_part(files, _listed(part, start)).carry_out(dry_run=dry_run, force=force)


def _listed(part: Part, start: Path) -> Listed:
    """How the one call of ``QueuesModule`` in the application's sources comes to name the class."""
    from goose.commands.registration import add_to_call  # LibCST takes longer to import than all else here

    places = [(path, count) for path in _sources(start, part) if (count := _calls(path)) > 0]
    if sum(count for _, count in places) != 1:
        found = ", ".join(str(path) for path, _ in places)
        reason = f"it is made more than once, in {found}" if places else "no file here makes one"
        return _by_hand(part, f"the {QUEUES} was left as it is ({reason}). Add to the file that makes it:")
    path = places[0][0]
    before = read(path)
    try:
        after = add_to_call(before, QUEUES, "middleware", part.name, part.module, ".".join(path.parent.parts))
    except CannotRegister as reason:
        return _by_hand(part, f"{path} was left as it is ({reason}). Add to it:")
    return Listed(Edit(path, before, after), f"added {part.name} to the middleware of {QUEUES} in {path}")


def _by_hand(part: Part, opening: str) -> Listed:
    lines = f"    from {part.module} import {part.name}\nand middleware=({part.name},) to {QUEUES}(...)."
    return Listed(None, f"{opening}\n{lines}")


def _sources(start: Path, part: Part) -> Iterator[Path]:
    """The file that the application starts from, and those of the package that the middleware is a part of."""
    here = Path.cwd().resolve()
    for path in dict.fromkeys([start, *sorted(Path(part.folder.parts[0]).rglob("*.py"))]):
        if path.is_file() and path.resolve().is_relative_to(here):
            yield path


def _calls(path: Path) -> int:
    from goose.commands.registration import calls

    source = read(path)
    try:
        return calls(source, QUEUES) if QUEUES.encode() in source else 0
    except CannotRegister:
        return 0
