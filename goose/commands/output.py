"""What commands print: lines, tables, trees, JSON, questions, progress.

In a pipe it is plain text; colour and moving lines are for terminals only. Results go to stdout; questions, progress and
errors go to stderr, so that what is piped on is the result alone.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text
from rich.tree import Tree

from goose.commands.errors import CommandError

INDENT: Final = 2
RULED: Final = 3
"""Columns that Rich puts between two cells of a table."""
LEAST: Final = 20
"""Columns that a text which may be cut keeps, if it has as many."""

_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON lets stand in a text, and drives a terminal or cannot be written to it."""


def say(text: str = "") -> None:
    """Print one line, or several, as they are."""
    typer.echo(text)


def remark(text: str) -> None:
    """Print a line beside the result, for whoever looks on."""
    typer.echo(text, err=True)


def say_json(value: Any, *, on_one_line: bool = False) -> None:
    """Print a value for programs to read."""
    say(as_json(value, on_one_line=on_one_line))


def as_json(value: Any, *, on_one_line: bool = False) -> str:
    """A value as JSON that drives no terminal, whatever texts are in it."""
    text = json.dumps(value, indent=None if on_one_line else INDENT, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; in a pipe with columns as wide as they need to be, on a terminal as wide as that is.

    Rich shows it too, for instance in a ``Live``.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[str] = ()
    """Heads of the columns that are set to the right."""
    cut: Collection[str] = ()
    """Heads of the columns that are cut, not folded, where a terminal is too narrow."""
    spare: Sequence[str] = ()
    """Heads of the columns that are left out there, the first one first."""

    def lines(self) -> Iterator[str]:
        """As plain text."""
        widths = self._widths()
        for row in [tuple(head.upper() for head in self.head), *self.rows]:
            cells = [
                cell.rjust(widths[head]) if head in self.numbers else cell.ljust(widths[head])
                for head, cell in zip(self.head, row, strict=True)
            ]
            yield "  ".join(cells).rstrip()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        heads = self._fitting(options.max_width)
        shown = RichTable(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for head in heads:
            # Where some may be cut, the others are not folded for them.
            rigid = bool(self.cut) and head not in self.cut
            side: Literal["left", "right"] = "right" if head in self.numbers else "left"
            shown.add_column(head.upper(), justify=side, overflow="fold", no_wrap=rigid)
        for row in self.rows:
            cells = zip(self.head, row, strict=True)
            shown.add_row(*(self._cell(head, cell) for head, cell in cells if head in heads))
        yield shown

    def _cell(self, head: str, cell: str) -> Text:
        return Text(cell, no_wrap=True, overflow="ellipsis") if head in self.cut else Text(cell)

    def _fitting(self, width: int) -> list[str]:
        """The heads for which there is room on a terminal."""
        widths = {head: min(most, LEAST) if head in self.cut else most for head, most in self._widths().items()}
        for head in self.spare:
            if sum(widths.values()) + RULED * len(widths) - 1 <= width:
                break
            del widths[head]
        return list(widths)

    def _widths(self) -> dict[str, int]:
        columns = zip(self.head, *self.rows, strict=True)
        return {head: max(map(len, (head, *cells))) for head, *cells in columns}


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
    with _interruptible():
        typer.confirm(question, abort=True, err=True)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's stderr while something long is done; call what it gives with how much more has been.

    Args:
        label: What is done.
        total: How much there is to do; None: that is not known.
    """
    if not sys.stderr.isatty():
        yield _unseen
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda more: bar.advance(task, more)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question at once. On an event loop it would be noted for later, and the question would stay."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _unseen(_: int) -> None:
    """Where nobody looks."""
