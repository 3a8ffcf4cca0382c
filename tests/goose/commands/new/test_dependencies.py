"""Names of distributions that a new project depends on."""

from __future__ import annotations

import pytest

from goose.commands.new.dependencies import depends_on


@pytest.mark.parametrize(
    "name",
    [
        "goose_framework",
        "Goose_Framework_",
        "pydantic",
        "pydantic_core",
        "SQLAlchemy",
        "typing_extensions",
        "pytest",
        "ruff",
        "mypy",
    ],
)
def test_a_dependency_is_known_by_any_spelling(name: str) -> None:
    assert depends_on(name)


@pytest.mark.parametrize("name", ["shop", "goose", "asyncio", "json", "tests", "app", "main"])
def test_other_names_are_free(name: str) -> None:
    assert not depends_on(name)
