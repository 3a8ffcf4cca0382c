"""What the project's ``pyproject.toml`` says to ``goose``: the table ``[tool.goose]``, and how long a line may be.

Read in the working directory, by ``locate`` and ``templates``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from goose.commands.errors import CommandError

PYPROJECT: Final = Path("pyproject.toml")
LINE_LENGTH: Final = 88
"""Ruff's own, where a project says nothing."""


def setting(name: str, example: str) -> str | None:
    """A text of ``[tool.goose]``; None where it is not set.

    Args:
        name: What it is called there.
        example: A value, for the message to somebody who set something else.

    Raises:
        CommandError: It is no text, or the file cannot be read.
    """
    value = _tool("goose").get(name)
    if value is not None and not isinstance(value, str):
        raise CommandError(f'{PYPROJECT}: [tool.goose] {name} is {value!r}; write it as "{example}"')
    return value


def line_length() -> int:
    """What the project's formatter breaks lines at."""
    length = _tool("ruff").get("line-length")
    return length if isinstance(length, int) else LINE_LENGTH


def _tool(name: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(PYPROJECT.read_text("utf-8")).get("tool")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandError(f"{PYPROJECT} cannot be read: {error}") from error
    found = table.get(name) if isinstance(table, dict) else None
    return found if isinstance(found, dict) else {}
