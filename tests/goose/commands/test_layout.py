"""Lines as ruff lays them out, shown by ruff itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from goose.commands.layout import import_lines, on_lines

CONFIG = "line-length = 60\n[lint]\nselect = ['I']\n"


def stays_as_it_is(text: str, folder: Path) -> bool:
    (folder / "ruff.toml").write_text(CONFIG)
    (folder / "a.py").write_text(text)
    for command in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "a.py"], cwd=folder, capture_output=True, check=False
        )
        if done.returncode != 0:
            return False
    return True


@pytest.fixture
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 60\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("length", [*range(20, 30), 60])
def test_imports_are_sorted_and_broken_as_ruff_does(narrow: Path, length: int) -> None:
    text = import_lines(
        [f"app.orders.{'m' * length}.{'C' * 12}", "app.b.X", "app.a.CONSTANT", "app.a.Class", "app.a.do"]
    )
    assert text.startswith("from app.a import CONSTANT, Class, do\nfrom app.b import X\nfrom app.orders.")
    assert stays_as_it_is(f"{text}\n", narrow)


@pytest.mark.parametrize("length", range(4, 60, 3))
def test_a_call_and_a_head_are_broken_as_ruff_does(narrow: Path, length: int) -> None:
    items = [f"a={'x' * (length // 2)}", f"b={'y' * (length // 3)}", "c=1"]
    call = on_lines("job = SendEmail(", items, ")", 4)
    assert stays_as_it_is(f"def f():\n    {call}\n", narrow)
    head = on_lines("class SendEmail(", ["Job", *items], "):")
    assert stays_as_it_is(f"{head}\n    pass\n", narrow)


def test_nothing_in_brackets_stays_on_its_line(narrow: Path) -> None:
    assert on_lines("x" * 80 + "(", [], ")") == "x" * 80 + "()"
