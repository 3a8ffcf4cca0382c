"""docs/tutorial.md is typed into real terminals, and shows there what it says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from end_to_end.installed import SOURCES, Goose
from end_to_end.script import INTERRUPT, Change, Turn, steps
from end_to_end.terminal import Terminal
from servers.private import free_port

PAGE = SOURCES / "docs/tutorial.md"
PORT = "8080"
"""The one that a new application serves at, and the page with it; here it may be taken."""


class Reader:
    """Does what the page says, in as many terminals as it asks for."""

    def __init__(self, goose: Goose, folder: Path) -> None:
        self._goose = goose
        self._folder = folder
        self._port = str(free_port())
        self._terminals: dict[str, Terminal] = {}
        self._open = ExitStack()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def follow(self, step: Turn | Change) -> None:
        if isinstance(step, Change):
            step.carry_out(self._folder / "shop")
            return
        terminal = self._terminal(step.terminal)
        if step.typed == INTERRUPT:
            terminal.interrupt()
        elif step.typed:
            terminal.type(self._here(step.typed))
        if step.goes_on:
            for pattern in step.patterns:
                terminal.shows(self._here(pattern))
        else:
            self._sees(step, terminal.ends())
        if step.typed == "goose new app shop":
            self._move(self._folder / "shop/main.py")

    def _terminal(self, name: str) -> Terminal:
        """Those beside the first are opened in the project's folder."""
        if name not in self._terminals:
            folder = self._folder / "shop" if name else self._folder
            self._terminals[name] = self._open.enter_context(Terminal(self._goose, folder))
        return self._terminals[name]

    def _sees(self, step: Turn, shown: str) -> None:
        """All of it, in order, and nothing that went wrong."""
        assert "Traceback" not in shown, shown
        place = 0
        for pattern in step.patterns:
            found = re.compile(self._here(pattern)).search(shown, place)
            assert found is not None, f"{step.typed} does not show {pattern!r}, but:\n{shown}"
            place = found.end()

    def _here(self, text: str) -> str:
        return text.replace(PORT, self._port)

    def _move(self, main: Path) -> None:
        """Have it serve where nobody else does."""
        text = main.read_text()
        assert PORT in text
        main.write_text(self._here(text))


@pytest.fixture
def reader(goose: Goose, tmp_path: Path) -> Iterator[Reader]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with Reader(goose, tmp_path) as reader:
        yield reader


def test_the_tutorial_is_what_happens(reader: Reader) -> None:
    for step in steps(PAGE.read_text("utf-8")):
        reader.follow(step)
