"""goose new app: what is written where, and what is refused; that it works is shown end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def test_an_application_bears_its_name(project: Path, goose: Callable) -> None:
    said = goose("new", "app", "shop")
    assert (said.code, said.err) == (0, "")
    assert "wrote shop/app/module.py\n" in said.out
    assert 'name = "shop"' in (project / "shop/pyproject.toml").read_text()
    assert (project / "shop/.gitignore").is_file()


def test_a_dry_run_writes_nothing(project: Path, goose: Callable) -> None:
    said = goose("new", "app", "shop", "--dry-run")
    assert "would write shop/main.py\n" in said.out
    assert "Next:" not in said.out
    assert list(project.iterdir()) == []


def test_a_file_in_the_place_of_the_project_is_refused(project: Path, goose: Callable) -> None:
    (project / "shop").write_text("mine")
    said = goose("new", "app", "shop", "--force")
    assert (said.code, said.err) == (1, "goose: shop exists and is no folder: nothing was written\n")
