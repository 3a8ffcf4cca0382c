"""What pyproject.toml says to goose."""

from __future__ import annotations

from pathlib import Path

import pytest

from goose.commands.errors import CommandError
from goose.commands.settings import LINE_LENGTH, line_length, setting


def test_a_project_without_a_file_says_nothing(project: Path) -> None:
    assert (setting("app", "main:app"), line_length()) == (None, LINE_LENGTH)


@pytest.mark.parametrize("text", ["", "tool = 1", "[tool]\ngoose = 1\nruff = 'x'", "[tool.ruff]\nline-length = 'x'"])
def test_what_is_of_another_form_says_nothing(project: Path, text: str) -> None:
    (project / "pyproject.toml").write_text(text)
    assert (setting("app", "main:app"), line_length()) == (None, LINE_LENGTH)


def test_what_is_set_is_read(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.goose]\napp = "shop:app"\n[tool.ruff]\nline-length = 100\n')
    assert (setting("app", "main:app"), line_length()) == ("shop:app", 100)


def test_a_file_that_cannot_be_read_is_named(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool")
    with pytest.raises(CommandError, match=r"^pyproject.toml cannot be read: "):
        setting("app", "main:app")
