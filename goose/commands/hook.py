"""What a module's own commands work with: ``application(ctx)``; and how ``main`` finds those commands.

A module names a ``typer.Typer`` by import string: ``commands = "goose_queues.commands:queue"``. It appears as a group
under its own name, in every application that has the module.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import typer

from goose.commands.errors import CommandError
from goose.commands.locate import application_name, load
from goose.commands.processes import Parent, Plan, keep
from goose.instance import Instance
from goose.log import Style, show
from goose.serving import SIGNALS, stop_signals

__all__ = ["CommandError", "Invocation", "application", "groups"]


@dataclass(slots=True)
class Invocation:
    """What was said to ``goose`` itself, before or after the command; the context's ``obj``."""

    app: str | None = None
    debug: bool = False
    words: Sequence[str] = ()
    """All that was said."""
    parent: Parent | None = None
    """The process that has started this one as one of several like it; None: this one stands alone."""
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

    def show_log(self, *, as_json: bool = False) -> None:
        """Write log lines to stderr, for commands that run until they are stopped."""
        level = logging.DEBUG if self.debug else logging.INFO
        if self.parent is None:
            show(Style(level, as_json))
        else:
            show(Style(level, as_json, self.parent.number, self.parent.turn))

    def keep(self, count: int, sockets: Sequence[socket.socket] = (), notice: str = "") -> None:
        """Run this command in so many processes, replaced when they die, until a signal or until all have ended.

        In each of them ``parent`` is there to report to; what comes after this call is for the process that stands alone.

        Args:
            count: How many processes.
            sockets: Bound ones, which each of them gets.
            notice: A line for the log, once the first process is at work.

        Raises:
            CommandError: This system has no such processes.
            SystemExit: None could be started, or one did not end well; the reason has been said in one line.
        """
        keep(Plan(self.words, count, tuple(each.fileno() for each in sockets), notice))

    @contextmanager
    def stopping(self) -> Iterator[asyncio.Event]:
        """An event that is set when this process is to stop: by SIGINT or SIGTERM, or when its parent is gone.

        A second signal ends a process that stands alone. One of several leaves that to its parent: a service manager sends its
        signal to all processes, and the parent passes on its own.
        """
        stopping = asyncio.Event()
        if self.parent is None:
            with stop_signals(stopping):
                yield stopping
        else:
            loop = asyncio.get_running_loop()
            self.parent.watch(stopping.set)
            for number in SIGNALS:
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
            try:
                yield stopping
            finally:
                for number in SIGNALS:
                    # What it had to do is done: a signal that comes while the interpreter ends would only spoil the exit code.
                    signal.signal(number, signal.SIG_IGN)


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
