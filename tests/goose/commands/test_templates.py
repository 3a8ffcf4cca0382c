"""Templates: found, rendered, and overridden file by file."""

from __future__ import annotations

from goose.commands.templates import render, templates


def test_templates_are_found_and_name_everything_they_use() -> None:
    assert (templates() / "app").is_dir()
    made = {file.path.as_posix(): file.text for file in render("app", name="shop")}
    assert {"pyproject.toml", "main.py", "app/module.py", "README.md", ".gitignore"} <= made.keys()
    assert all("{{" not in text and "{%" not in text for text in made.values())
