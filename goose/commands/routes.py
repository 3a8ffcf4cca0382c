"""``goose routes``: every method and path that the application answers, and who answers there."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from goose.commands.hook import application
from goose.http.controller import Controller, routes_of
from goose.http.health import HEALTH_PATH, READY_PATH
from goose.kernel import Kernel


def routes(ctx: typer.Context) -> None:
    """Show the routes and their handlers."""
    for line in as_table(rows(application(ctx).new_kernel())):
        typer.echo(line)


def rows(kernel: Kernel) -> Sequence[tuple[str, ...]]:
    """Method, path, handler, guards; sorted by path, the platform's own last."""
    found = [
        (route.path, route.method, route.name, ", ".join(guard.__name__ for guard in route.guards))
        for declared in kernel.declared(Controller)
        for route in routes_of(declared.cls)
    ]
    own = [("GET", HEALTH_PATH, "is the process up?", ""), ("GET", READY_PATH, "is every module ready?", "")]
    return [(method, path, name, guards) for path, method, name, guards in sorted(found)] + own


def as_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as they need to be, with a head."""
    table = [("METHOD", "PATH", "HANDLER", "GUARDS"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
