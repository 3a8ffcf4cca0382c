"""What every command does alike: how it errs, and what it prints where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from end_to_end.installed import Goose
from end_to_end.terminal import Terminal


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("rnu",), 2, "No such command 'rnu'. Did you mean 'run'? Try 'goose --help'."),
        (("run", "--prot", "1"), 2, "No such option: --prot (Possible options: --host, --port) Try 'goose run"),
        (("queue", "stast"), 2, "No such command 'stast'. Did you mean 'stats'? Try 'goose queue --help'."),
        (("graph", "--app"), 2, "Invalid value: --app needs the application's name, as in --app main:app."),
        (("graph", "--app", "mian:app"), 1, "no application found: there is no module 'mian' in "),
        (("graph", "--app", "main:make_app"), 1, "main:make_app is a function, not an application."),
        (("db", "revision", "ShopModule", "-m", "x"), 1, "ShopModule is not a module with tables of its own."),
    ],
)
def test_an_error_is_one_line_and_says_what_to_do(
    goose: Goose, shop: Path, words: tuple[str, ...], code: int, sentence: str
) -> None:
    done = goose(shop, *words, code=code)
    assert done.stdout == ""
    assert done.stderr.startswith(f"goose: {sentence}")
    assert done.stderr.count("\n") == 1


def test_debug_shows_where_an_application_breaks(goose: Goose, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def app():\n    return 1 / 0\n\napp = app()\n")
    assert goose(tmp_path, "check", code=1).stderr == (
        "goose: main:app cannot be loaded: ZeroDivisionError: division by zero (main.py:2)\n"
    )
    shown = goose(tmp_path, "check", "--debug", code=1).stderr
    assert shown.startswith("Traceback (most recent call last):\n")
    assert shown.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("word", ["queue", "db"])
def test_outside_an_application_a_modules_command_says_so(goose: Goose, tmp_path: Path, word: str) -> None:
    done = goose(tmp_path, word, "stats", code=1)
    assert done.stderr == (
        f"goose: {word!r} is not a command of goose itself, and no application found: "
        f"there is no module 'main' in {tmp_path}. "
        "Go to the project's folder, or name the application: goose --app module:attribute ...\n"
    )


COLOUR = r"\x1b\[(\d+;)*3\d(;\d+)*m"


@pytest.mark.parametrize(
    ("variables", "written", "unwritten"),
    [({}, COLOUR, None), ({"NO_COLOR": "1"}, r"\x1b\[1m", COLOUR), ({"TERM": "dumb"}, "Usage", r"\x1b")],
    ids=["any", "told to have no colour", "dumb"],
)
def test_a_terminal_gets_what_it_can_show_and_its_user_wants(
    goose: Goose, shop: Path, variables: dict[str, str], written: str, unwritten: str | None
) -> None:
    with Terminal(goose, shop, **variables) as terminal:
        terminal.run("goose --help")
        terminal.run("goose queue stats")
        terminal.run("goose rnu", code=2)
        assert re.search(written, terminal.written)
        assert unwritten is None or not re.search(unwritten, terminal.written)
