"""``goose``: the root of the command line. Reads what is said to ``goose`` itself, runs the command, answers for errors.

An error is one line on stderr: exit code 2 where the command line is wrong, else 1; ``--debug`` shows the traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import MarkupMode
from typer.main import get_command

from goose.commands.check import check
from goose.commands.errors import BrokenApplication, CommandError, NoApplication
from goose.commands.graph import graph
from goose.commands.hook import Invocation, groups
from goose.commands.new import new
from goose.commands.output import is_terminal
from goose.commands.processes import Parent
from goose.commands.routes import routes
from goose.commands.run import run
from goose.errors import GooseError
from goose.graph import near
from goose.log import complain

CORE: Final = ("new", "run", "routes", "graph", "check")
COMPLETING: Final = "_GOOSE_COMPLETE"
"""Set by a shell that wants to know what could come next."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; the entry point of the ``goose`` script."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if COMPLETING in os.environ:
        given = os.environ.get("COMP_WORDS", "").split()[1:]
    debug, parent = "--debug" in given, Parent.found()
    try:
        invocation, words = said_to_goose(given)
        debug, invocation.words, invocation.parent = invocation.debug, given, parent
        code = _run(invocation, words)
    except Exception as error:  # noqa: BLE001 - every error ends as one line
        code = _answer(error, parent, debug=debug)
    except SystemExit as stop:  # goose.start() has said in one line what went wrong
        if debug and stop.__cause__ is not None:
            traceback.print_exception(stop.__cause__)
        raise
    sys.exit(code)


def said_to_goose(words: Sequence[str]) -> tuple[Invocation, list[str]]:
    """Take ``--app`` and ``--debug`` out, wherever they stand before a ``--``.

    Raises:
        typer.BadParameter: ``--app`` without a name.
    """
    invocation = Invocation()
    rest: list[str] = []
    coming = iter(words)
    for word in coming:
        if word == "--":
            return invocation, [*rest, word, *coming]
        if word == "--debug":
            invocation.debug = True
        elif word == "--app" or word.startswith("--app="):
            invocation.app = word.removeprefix("--app").removeprefix("=") or next(coming, "")
            if not invocation.app or invocation.app.startswith("-"):
                raise typer.BadParameter("--app needs the application's name, as in --app main:app")
        else:
            rest.append(word)
    return invocation, rest


def _run(invocation: Invocation, words: list[str]) -> int:
    words = words or ["--help"]
    root = _root()
    note = _add_groups(root, invocation, words)
    command = get_command(root)
    if note is not None:
        command.epilog = f"{command.epilog}\n\n{note}"
    _shape_help(command, "rich" if is_terminal() else None)
    result = command.main(args=words, prog_name="goose", standalone_mode=False, obj=invocation)
    return result if isinstance(result, int) else 0


def _root() -> typer.Typer:
    root = typer.Typer(epilog="Example: goose new app shop && cd shop && goose run")
    root.callback()(_said)
    root.add_typer(new)
    root.command(epilog="Example: goose run --port 9000 --reload")(run)
    root.command(epilog="Example: goose routes")(routes)
    root.command(epilog="Example: goose graph --dot | dot -Tsvg > graph.svg")(graph)
    root.command(epilog="Example: goose check && systemctl restart shop")(check)
    return root


def _shape_help(command: Any, mode: MarkupMode) -> None:
    """Panels are for terminals; whoever made a group of commands need not think of it."""
    command.rich_markup_mode = mode
    for below in getattr(command, "commands", {}).values():
        _shape_help(below, mode)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"goose {version('goose-framework')}")
        raise typer.Exit


def _said(
    _app: Annotated[
        str | None,
        typer.Option(
            "--app", metavar="MODULE:ATTRIBUTE", help="The application; else [tool.goose] app, else main:app."
        ),
    ] = None,
    _debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Goose: an application kit. --app and --debug may stand before or after the command."""
    # main() has taken --app and --debug out already; they are declared here for --help.


def _add_groups(root: typer.Typer, invocation: Invocation, words: Sequence[str]) -> str | None:
    """Add the application's own commands where they are asked for; return what --help is to say of their absence."""
    word = words[0]
    if word in CORE or (word.startswith("-") and word not in ("--help", "-h")):
        return None
    try:
        for name, group in groups(invocation.application()).items():
            if name in CORE:
                raise CommandError(f"a module adds commands named {name!r}, which is a command of goose: rename them")
            root.add_typer(group)
    except NoApplication as error:
        if not _asks_only(word):
            _refuse(word, error)
    except GooseError as error:
        if not _asks_only(word):
            raise
        return f"The application's own commands are not shown: {_one_line(error)}"
    return None


def _asks_only(word: str) -> bool:
    """Whether nothing is to be run: ``--help``, or a shell that completes what has been typed."""
    return word.startswith("-") or COMPLETING in os.environ


def _refuse(word: str, error: NoApplication) -> None:
    """Say that a command could only come from an application, unless it is a misspelt one of goose itself."""
    if near(word, CORE) is None:
        raise CommandError(f"{word!r} is not a command of goose itself, and {error}") from error


def _answer(error: Exception, parent: Parent | None, *, debug: bool) -> int:
    code = _code(error)
    if parent is not None:
        parent.failed(_sentence(error), code)
    if debug and not isinstance(error, typer.TyperException):
        cause = error.__cause__ if isinstance(error, BrokenApplication) else None
        traceback.print_exception(cause or error)
    elif _is_help(error):
        print(error, file=sys.stderr)  # noqa: T201 - as it was asked for
    elif parent is None:
        complain(_sentence(error))
    return code


def _is_help(error: Exception) -> bool:
    """Whether it is a group's help, shown where the group was named without a command."""
    return isinstance(error, typer.TyperException) and error.message.startswith("Usage:")


def _code(error: Exception) -> int:
    return error.exit_code if isinstance(error, typer.TyperException) else 1


def _sentence(error: Exception) -> str:
    if isinstance(error, typer.TyperException):
        path = getattr(getattr(error, "ctx", None), "command_path", "goose")
        # Of a value that is none of those allowed, pydantic says first that it is an error.
        text = " ".join(error.format_message().split()).replace(": Value error, ", ": ")
        return f"{text}{'' if text[-1:] in '.?)' else '.'} Try '{path} --help'."
    if isinstance(error, typer.Abort):
        return "stopped"
    if isinstance(error, GooseError):
        return _one_line(error)
    return f"{type(error).__name__}: {_one_line(error)} (--debug shows where)"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
