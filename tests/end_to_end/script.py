"""A page of the docs as a script: what it types into which terminal, what it then shows, and which files it changes.

A fenced block of ``console`` is a terminal, the first one unless a word behind it names another: a line behind ``$ `` is typed,
``^C`` is pressed, the others are shown, in this order; ``...`` stands for anything. A block of ``diff`` and a path changes that
file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

FENCE: Final = re.compile(r"^```(console|diff) ?(.*)\n((?s:.*?))^```", re.MULTILINE)
INTERRUPT: Final = "^C"


@dataclass(frozen=True)
class Turn:
    """What is done in a terminal, and what it then shows."""

    terminal: str
    typed: str
    """A command; ``^C``; or nothing, where the one before goes on to show something."""
    shows: tuple[str, ...]
    """Lines, each with ``...`` for what is different every time."""
    goes_on: bool = False
    """Whether it runs until it is interrupted."""

    @property
    def patterns(self) -> list[str]:
        """What each line looks like on any terminal, whose columns are as wide as they need to be."""
        return [_pattern(line) for line in self.shows if line != "..."]


@dataclass(frozen=True)
class Change:
    """Lines of a file that become others."""

    file: Path
    before: str
    after: str

    def carry_out(self, folder: Path) -> None:
        text = (folder / self.file).read_text()
        assert text.count(self.before) == 1, f"not once in {self.file}:\n{self.before}\nbut:\n{text}"
        (folder / self.file).write_text(text.replace(self.before, self.after))


def steps(page: str) -> list[Turn | Change]:
    """Everything that the page has its reader do, in its order."""
    found: list[Turn | Change] = []
    for kind, word, text in FENCE.findall(page):
        found += _changes(Path(word), text) if kind == "diff" else _turns(word, text)
    return [
        replace(step, goes_on=_goes_on(step, found[number + 1 :])) if isinstance(step, Turn) else step
        for number, step in enumerate(found)
    ]


def _turns(terminal: str, text: str) -> Iterator[Turn]:
    shown, *typed = re.split(r"^(?=\$ |\^C$)", text, flags=re.MULTILINE)
    if shown:
        yield Turn(terminal, "", tuple(shown.splitlines()))
    for part in typed:
        line, *lines = part.splitlines()
        yield Turn(terminal, line.removeprefix("$ "), tuple(lines))


def _changes(file: Path, text: str) -> Iterator[Change]:
    for hunk in re.split(r"^@@.*\n", text, flags=re.MULTILINE):
        lines = [line or " " for line in hunk.splitlines()]
        before, after = ("".join(f"{line[1:]}\n" for line in lines if line[0] != other) for other in "+-")
        yield Change(file, before, after)


def _goes_on(turn: Turn, later: Sequence[Turn | Change]) -> bool:
    """Whether what comes next in its terminal is not typed at a prompt."""
    return next(
        (step.typed in {INTERRUPT, ""} for step in later if isinstance(step, Turn) and step.terminal == turn.terminal),
        False,
    )


def _pattern(line: str) -> str:
    words = re.split(r"(\.\.\.|\s+)", line.strip())
    return "".join(".*?" if word == "..." else r"[ \t]+" if word.isspace() else re.escape(word) for word in words)
