"""What commands print: plain in a pipe, shaped for a terminal, and questions only where somebody can answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
import typer

from goose.commands import Branch, CommandError, Table, ask, did_you_mean, progress, show

TABLE = Table(("name", "jobs"), [("emails", "12"), ("a[b]c", "3")], ("jobs",))
SCRIPT = """
import sys
from goose.commands import Branch, Table, ask, progress, say, show
show(Table(("name", "jobs"), [("emails", "12"), ("a[b]c", "3")], ("jobs",)))
show(Branch("root", (Branch("leaf[x]"),)))
with progress("counting", 2) as more:
    more(2)
ask("Delete them?", yes=False)
say("deleted")
"""


def test_a_table_in_a_pipe_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    show(TABLE)
    assert capsys.readouterr().out == "NAME    JOBS\nemails    12\na[b]c      3\n"


def test_a_tree_in_a_pipe_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    show(Branch("root", (Branch("twig", (Branch("leaf"),)), Branch("leaf"))))
    assert capsys.readouterr().out == "root\n  twig\n    leaf\n  leaf\n"


def test_nothing_moves_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("counting", 2) as more:
        more(1)
    assert capsys.readouterr() == ("", "")


def test_where_nobody_can_be_asked_yes_has_to_be_said() -> None:
    with pytest.raises(CommandError) as refused:
        ask("Delete 3 jobs?", yes=False)
    assert str(refused.value) == "Delete 3 jobs? Nobody can be asked here: say --yes"
    ask("Delete 3 jobs?", yes=True)


@pytest.mark.parametrize(("answer", "end"), [("y", "deleted"), ("n", "Abort")])
def test_a_terminal_gets_lines_and_questions(tmp_path: Path, answer: str, end: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("FORCE_COLOR", None)
    with pexpect.spawn(
        sys.executable, [str(tmp_path / "script.py")], env=environment, timeout=60, encoding="utf-8"
    ) as terminal:
        terminal.expect_exact("NAME")
        terminal.expect_exact("a[b]c")  # no markup
        terminal.expect(r"└── \S*leaf\[x\]")
        terminal.expect_exact("counting")
        terminal.expect_exact("Delete them? [y/N]: ")
        terminal.sendline(answer)
        terminal.expect_exact(end)
        terminal.expect(pexpect.EOF)


def test_the_near_word() -> None:
    assert did_you_mean("emials", ["default", "emails"]) == " (did you mean 'emails'?)"
    assert did_you_mean("x", ["default", "emails"]) == ""


def test_a_no_is_an_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goose.commands.output.can_ask", lambda: True)
    monkeypatch.setattr(typer, "confirm", _no)
    with pytest.raises(typer.Abort):
        ask("Delete them?", yes=False)


def _no(*_: object, abort: bool, err: bool) -> Callable[..., bool]:
    assert (abort, err) == (True, True)
    raise typer.Abort
