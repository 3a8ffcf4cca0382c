"""What commands print: plain in a pipe, shaped for a terminal, and questions only where somebody can answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
import typer

from goose.commands import Branch, CommandError, Table, ask, did_you_mean, progress, say_json, show
from waiting import wait_until_asleep

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


NARROW = """
import asyncio
from goose.commands import Table, ask, show
show(Table(("id", "queue", "note"), [("1" * 36, "emails", "x" * 99 + "!")], cut=("note",), spare=("queue",)))

async def main():
    ask("Go on?", yes=False)

asyncio.run(main())
"""


@pytest.mark.parametrize(("columns", "shown"), [(160, ["emails", "x!"]), (80, ["emails", "x…"]), (64, ["x…"])])
def test_a_narrow_terminal(tmp_path: Path, columns: int, shown: list[str]) -> None:
    """First what may be cut is cut, then what can be spared is left out; Ctrl-C ends a question also on an event loop."""
    (tmp_path / "script.py").write_text(NARROW)
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    for variable in ("FORCE_COLOR", "COLUMNS"):
        environment.pop(variable, None)
    with pexpect.spawn(
        sys.executable,
        [str(tmp_path / "script.py")],
        env=environment,
        timeout=60,
        encoding="utf-8",
        dimensions=(24, columns),
    ) as terminal:
        terminal.expect_exact("Go on? [y/N]: ")
        [row] = [line for line in (terminal.before or "").splitlines() if "1" * 36 in line]
        assert len(row) <= columns
        assert ("emails" in row, "x!" in row, "x…" in row) == tuple(part in shown for part in ("emails", "x!", "x…"))
        wait_until_asleep(terminal.pid)
        terminal.sendintr()
        terminal.expect_exact("Abort")
        terminal.expect(pexpect.EOF)


@pytest.mark.parametrize("on_one_line", [True, False])
def test_json_drives_no_terminal(capsys: pytest.CaptureFixture[str], on_one_line: bool) -> None:
    value = {"a\x1b": ["é", "\x00\x9b1m\x85\u2028\u202e\ud800\x7f"]}
    say_json(value, on_one_line=on_one_line)
    text = capsys.readouterr().out
    assert json.loads(text) == value
    assert text.count("\n") == (1 if on_one_line else 6)
    assert "é" in text
    assert not any(ord(letter) in {0x1B, 0x9B, 0x85, 0x2028, 0x202E, 0xD800, 0x7F} for letter in text)
