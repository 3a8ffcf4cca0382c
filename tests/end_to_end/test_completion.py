"""Shells complete what is typed: commands of ``goose``, those of an application's modules, and options."""

from __future__ import annotations

from pathlib import Path

import pytest

from end_to_end.installed import Goose
from end_to_end.terminal import Terminal

ERASE = "\x15"
"""Ctrl-U: the line is empty again."""


def test_a_shell_that_has_read_the_script_completes_commands_and_options(goose: Goose, shop: Path) -> None:
    with Terminal(goose, shop) as terminal:
        terminal.run('eval "$(goose --show-completion)"')
        for typed, completed in (
            ("goose que\t", "goose queue "),
            ("goose queue wo\t", "goose queue work "),
            ("goose queue work --concur\t", "goose queue work --concurrency "),
        ):
            terminal.press(typed)
            terminal.shows(f"{completed}$")
            terminal.press(ERASE)


def test_installed_completion_is_there_in_every_new_shell(goose: Goose, shop: Path, tmp_path: Path) -> None:
    with Terminal(goose, shop, HOME=str(tmp_path)) as terminal:
        assert "completion installed in" in terminal.run("goose --install-completion")
        terminal.run("source ~/.bashrc")
        terminal.press("goose rout\t")
        terminal.shows("goose routes $")


@pytest.mark.parametrize(
    ("shell", "script", "answer"),
    [("zsh", "#compdef goose", '"{}":'), ("fish", "complete --command goose", "{}\t")],
)
def test_other_shells_are_answered_too(goose: Goose, shop: Path, shell: str, script: str, answer: str) -> None:
    assert script in goose(shop, _GOOSE_COMPLETE=f"source_{shell}").stdout
    asked = {"_GOOSE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    said = goose(shop, **asked, _TYPER_COMPLETE_ARGS="goose queue st").stdout
    assert answer.format("stats") in said
    assert answer.format("list") not in said
