"""What a module's own commands work with: ``application(ctx)``; and how ``main`` finds those commands.

A module names a ``typer.Typer`` by import string: ``commands = "goose_queues.commands:queue"``. It appears as a group
under its own name, in every application that has the module.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import typer

from goose.commands.errors import CommandError
from goose.commands.locate import application_name, load
from goose.instance import Instance

__all__ = ["CommandError", "Invocation", "application", "groups"]


@dataclass(slots=True)
class Invocation:
    """What was said to ``goose`` itself, before or after the command; the context's ``obj``."""

    app: str | None = None
    debug: bool = False
    _instance: Instance | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The application's import string, ``module:attribute``."""
        return application_name(self.app)

    def application(self) -> Instance:
        """The application, loaded once.

        Raises:
            CommandError: It cannot be found or loaded.
        """
        if self._instance is None:
            self._instance = load(self.name)
        return self._instance

    def show_log(self) -> None:
        """Write log lines to the terminal, for commands that run until they are stopped."""
        logging.basicConfig(
            level=logging.DEBUG if self.debug else logging.INFO, format="%(levelname)s:     %(message)s"
        )


def application(ctx: typer.Context) -> Instance:
    """The application that a command was called for; not booted.

    Raises:
        CommandError: It cannot be found or loaded.
    """
    return invocation(ctx).application()


def invocation(ctx: typer.Context) -> Invocation:
    """What was said to ``goose`` itself."""
    found = ctx.find_object(Invocation)
    return Invocation() if found is None else found


def groups(instance: Instance) -> dict[str, typer.Typer]:
    """The groups of commands that an application's modules add, by name.

    Raises:
        GooseError: The modules do not fit together, or one names commands that are not there.
    """
    found: dict[str, typer.Typer] = {}
    for where in dict.fromkeys(_named_commands(instance)):
        group = _group(where)
        name = group.info.name
        if not isinstance(name, str) or not name:
            raise CommandError(f'{where} has no name: make it with typer.Typer(name="...")')
        if name in found:
            raise CommandError(f"two modules add commands named {name!r}: give one of the groups another name")
        found[name] = group
    return found


def _named_commands(instance: Instance) -> Iterator[str]:
    for module in instance.new_kernel().modules:
        if module.commands is not None:
            yield module.commands


def _group(where: str) -> typer.Typer:
    module, _, attribute = where.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise CommandError(f"the commands {where} cannot be loaded: {error}") from error
    if not isinstance(found, typer.Typer):
        raise CommandError(f"{where} is a {type(found).__name__}, not a typer.Typer")
    return found
