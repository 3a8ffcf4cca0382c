"""What commands print: lines, tables, trees, JSON, questions, progress.

In a pipe it is plain text; colour and moving lines are for terminals only. Results go to stdout; questions, progress and
errors go to stderr, so that what is piped on is the result alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text
from rich.tree import Tree

from goose.commands.errors import CommandError

INDENT: Final = 2


def say(text: str = "") -> None:
    """Print one line, or several, as they are."""
    typer.echo(text)


def say_json(value: Any) -> None:
    """Print a value for programs to read."""
    say(json.dumps(value, indent=INDENT, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; in a pipe with columns as wide as they need to be, on a terminal as wide as that is.

    Rich shows it too, for instance in a ``Live``.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[str] = ()
    """Heads of the columns that are set to the right."""

    def lines(self) -> Iterator[str]:
        """As plain text."""
        table = [tuple(head.upper() for head in self.head), *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.head))]
        for row in table:
            cells = [
                cell.rjust(width) if head in self.numbers else cell.ljust(width)
                for head, cell, width in zip(self.head, row, widths, strict=True)
            ]
            yield "  ".join(cells).rstrip()

    def __rich__(self) -> RichTable:
        shown = RichTable(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for head in self.head:
            shown.add_column(head.upper(), justify="right" if head in self.numbers else "left", overflow="fold")
        for row in self.rows:
            shown.add_row(*map(Text, row))
        return shown


@dataclass(frozen=True, slots=True)
class Branch:
    """A line with those below it; in a pipe they are indented, on a terminal they hang on lines."""

    text: str
    below: Sequence[Branch] = ()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """As plain text."""
        yield " " * INDENT * depth + self.text
        for branch in self.below:
            yield from branch.lines(depth + 1)

    def __rich__(self) -> Tree:
        return _grown(Tree(Text(self.text, "bold"), guide_style="dim"), self.below)


def _grown(tree: Tree, branches: Sequence[Branch]) -> Tree:
    for branch in branches:
        _grown(tree.add(Text(branch.text)), branch.below)
    return tree


def show(shown: Table | Branch) -> None:
    """Print a table or a tree."""
    if is_terminal():
        Console().print(shown)
    else:
        for line in shown.lines():
            say(line)


def is_terminal() -> bool:
    """Whether somebody looks at what is printed."""
    return sys.stdout.isatty()


def can_ask() -> bool:
    """Whether somebody can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, *, yes: bool) -> None:
    """Go on only if somebody agrees; ``yes`` is what ``--yes`` said.

    Raises:
        CommandError: Nobody can be asked.
        typer.Abort: The answer was no.
    """
    if yes:
        return
    if not can_ask():
        raise CommandError(f"{question} Nobody can be asked here: say --yes")
    typer.confirm(question, abort=True, err=True)


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's stderr while something long is done; call what it gives with how much more has been."""
    if not sys.stderr.isatty():
        yield _unseen
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda more: bar.advance(task, more)


def _unseen(_: int) -> None:
    """Where nobody looks."""
