"""``goose routes``: every method and path that the application answers, and who answers there."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from goose.commands.hook import application
from goose.commands.output import Table, show
from goose.http.controller import Controller, routes_of
from goose.http.health import HEALTH_PATH, READY_PATH
from goose.kernel import Kernel


def routes(ctx: typer.Context) -> None:
    """Show the routes and their handlers."""
    show(Table(("method", "path", "handler", "guards"), rows(application(ctx).new_kernel())))


def rows(kernel: Kernel) -> Sequence[tuple[str, ...]]:
    """Method, path, handler, guards; sorted by path, the platform's own last."""
    found = [
        (route.path, route.method, route.name, ", ".join(guard.__name__ for guard in route.guards))
        for declared in kernel.declared(Controller)
        for route in routes_of(declared.cls)
    ]
    own = [("GET", HEALTH_PATH, "is the process up?", ""), ("GET", READY_PATH, "is every module ready?", "")]
    return [(method, path, name, guards) for path, method, name, guards in sorted(found)] + own
