"""What holds for every command there is, also for those of modules: each is walked to by the help of the one above it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from end_to_end.installed import Goose

CALLS = """
import contextlib, io, json, sys
from goose.commands import main

said = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
        main(words)
    said.append([out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""
"""Many commands in one process: a start takes far longer than a page of help."""


@dataclass(frozen=True)
class Command:
    """A command or a group of commands."""

    words: tuple[str, ...]
    help: str

    @property
    def below(self) -> list[str]:
        """The commands of a group."""
        _, _, listed = self.help.partition("\nCommands:\n")
        return re.findall(r"^  (\S+)", listed.partition("\n\n")[0], re.MULTILINE)

    @property
    def path(self) -> str:
        return " ".join(("goose", *self.words))


@pytest.fixture(scope="module")
def commands(goose: Goose, shop: Path) -> list[Command]:
    """Every one, in the order of the tree's levels."""
    found = level = [Command((), said(goose, shop, [["--help"]])[0][0])]
    while level := helped(goose, shop, [(*command.words, name) for command in level for name in command.below]):
        found = [*found, *level]
    return found


def helped(goose: Goose, shop: Path, paths: list[tuple[str, ...]]) -> list[Command]:
    helps = said(goose, shop, [[*words, "--help"] for words in paths]) if paths else []
    return [Command(words, out) for words, (out, _) in zip(paths, helps, strict=True)]


def said(goose: Goose, shop: Path, calls: list[list[str]]) -> list[tuple[str, str]]:
    """What each call printed, on stdout and on stderr."""
    (shop / "calls.py").write_text(CALLS)
    return [(out, err) for out, err in json.loads(goose.module(shop, "calls.py", json.dumps(calls)).stdout)]


def test_the_tree_is_that_of_goose_and_its_modules(commands: list[Command]) -> None:
    paths = {command.words for command in commands}
    assert {("new", "app"), ("run",), ("check",), ("queue", "work"), ("queue", "stats"), ("db", "migrate")} <= paths


def test_every_command_shows_an_example_of_itself(commands: list[Command]) -> None:
    without = [
        command.path
        for command in commands
        if not command.below and f"Example: {command.path}" not in " ".join(command.help.split())
    ]
    assert without == []


def test_every_command_says_what_it_and_each_of_its_options_is_for(commands: list[Command]) -> None:
    unsaid = [command.path for command in commands if not command.help.partition("\n\n")[2].startswith("  ")]
    listed = re.compile(r"^  (?=\S)(.*(?:\n {4,}.*)*)", re.MULTILINE)
    for command in commands:
        sections = command.help.partition(":\n")[2]
        for entry in listed.findall(sections.partition("\n\n  Example")[0]):
            name, *about = re.split(r"\s{2,}", entry, maxsplit=1)
            if not about or about[0].startswith("["):
                unsaid.append(f"{command.path} {name}")
    assert unsaid == []


def test_a_misspelt_command_names_the_near_one_everywhere(goose: Goose, shop: Path, commands: list[Command]) -> None:
    named = [command for command in commands if command.words]
    errors = [err for _, err in said(goose, shop, [[*command.words[:-1], command.words[-1][:-1]] for command in named])]
    for command, error in zip(named, errors, strict=True):
        assert re.fullmatch(
            rf"goose: No such command '{command.words[-1][:-1]}'\. Did you mean (.*')?{command.words[-1]}'.*\n", error
        ), error


def test_every_command_is_called_by_a_test_of_this_folder(commands: list[Command]) -> None:
    called = [words for file in Path(__file__).parent.glob("test_*.py") for words in calls(file)]
    uncalled = [
        command.path
        for command in commands
        if not command.below and not any(words[: len(command.words)] == command.words for words in called)
    ]
    assert uncalled == []


def calls(file: Path) -> Iterator[tuple[str, ...]]:
    """The words that are given one by one to a call, or in a table of cases; and lines that are typed."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        match node:
            case ast.Call(args=given) | ast.Tuple(elts=given) | ast.List(elts=given):
                yield tuple(
                    word.value for word in given if isinstance(word, ast.Constant) and isinstance(word.value, str)
                )
            case ast.Constant(value=str() as text):
                for line in text.splitlines():
                    if line.startswith("goose "):
                        yield tuple(line.split()[1:])
