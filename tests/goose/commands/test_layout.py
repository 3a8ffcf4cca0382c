"""Lines as ruff lays them out, shown by ruff itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from goose.commands.layout import import_lines, on_lines

CONFIG = "line-length = 60\n[lint]\nselect = ['I']\n"


def stay_as_they_are(texts: list[str], folder: Path) -> None:
    """Sources that ruff has nothing to say against."""
    (folder / "ruff.toml").write_text(CONFIG)
    for number, text in enumerate(texts):
        (folder / f"a{number}.py").write_text(text)
    for command in (["format", "--check", "--diff"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.fixture
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 60\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_imports_are_sorted_and_broken_as_ruff_does(narrow: Path) -> None:
    texts = [
        import_lines([f"app.orders.{'m' * length}.{'C' * 12}", "app.b.X", "app.a.CONSTANT", "app.a.Class", "app.a.do"])
        for length in range(15, 60)
    ]
    assert texts[0].startswith("from app.a import CONSTANT, Class, do\nfrom app.b import X\nfrom app.orders.")
    stay_as_they_are([f"{text}\n" for text in texts], narrow)


def test_calls_and_heads_are_broken_as_ruff_does(narrow: Path) -> None:
    texts = []
    for length in range(4, 80):
        items = [f"a={'x' * (length // 2)}", f"b={'y' * (length // 3)}", "c=1"]
        texts += [
            f"def f():\n    {on_lines('job = SendEmail(', items, ')', 4)}\n",
            f"{on_lines('class SendEmail(', ['Job', *items], '):')}\n    pass\n",
        ]
    stay_as_they_are(texts, narrow)


def test_nothing_in_brackets_stays_on_its_line(narrow: Path) -> None:
    assert on_lines("x" * 80 + "(", [], ")") == "x" * 80 + "()"
