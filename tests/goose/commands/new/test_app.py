"""goose new app: what is written where, and what is refused; that it works is shown end to end."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest


def test_an_application_bears_its_name(project: Path, goose: Callable) -> None:
    said = goose("new", "app", "shop")
    assert (said.code, said.err) == (0, "")
    assert "wrote shop/app/module.py\n" in said.out
    assert 'name = "shop"' in (project / "shop/pyproject.toml").read_text()
    assert (project / "shop/.gitignore").is_file()


def test_a_dry_run_writes_nothing(project: Path, goose: Callable) -> None:
    said = goose("new", "app", "shop", "--dry-run")
    assert said.out.startswith("would write\n  shop/\n    app/\n      controllers/\n        __init__.py\n")
    assert "\n    main.py\n" in said.out
    assert "Next:" not in said.out
    assert list(project.iterdir()) == []


def test_a_file_in_the_place_of_the_project_is_refused(project: Path, goose: Callable) -> None:
    (project / "shop").write_text("mine")
    said = goose("new", "app", "shop", "--force")
    assert (said.code, said.err) == (1, "goose: shop exists and is no folder: nothing was written\n")


@pytest.mark.parametrize("name", ["pydantic", "goose_framework", "SQLAlchemy_"])
def test_the_name_of_a_dependency_is_refused(project: Path, goose: Callable, name: str) -> None:
    said = goose("new", "app", name)
    assert (said.code, said.out, said.err) == (
        1,
        "",
        f"goose: {name!r} cannot name a project: it depends on a package of that name, which pip takes for it\n",
    )
    assert list(project.iterdir()) == []


def test_its_readme_names_commands_that_there_are(
    project: Path, goose: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    goose("new", "app", "shop")
    monkeypatch.chdir(project / "shop")
    named = re.findall(r"(?:^|`)goose (.+?)(?:`|  |$)", Path("README.md").read_text(), re.MULTILINE)
    assert {"run", "db migrate", "queue stats", "check"} <= set(named)
    for words in named:
        said = goose(*shlex.split(words), "--help")
        assert (said.code, said.err) == (0, "")
