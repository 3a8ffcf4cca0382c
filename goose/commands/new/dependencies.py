"""What a new project depends on: names that it cannot bear itself, as pip would take the one for the other. Used by ``app``."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from typing import Final

ROOTS: Final = ("goose-framework", "mypy", "ruff")
"""What the ``pyproject.toml`` of a new project names."""


def depends_on(name: str) -> bool:
    """Whether a project needs a distribution of this name, directly or by way of others."""
    found: set[str] = set()
    coming = list(ROOTS)
    while coming:
        distribution = _normal(coming.pop())
        if distribution not in found:
            found.add(distribution)
            coming += _requirements(distribution)
    return _normal(name) in found


def _requirements(distribution: str) -> list[str]:
    """Those of every extra too; none where it is not installed."""
    try:
        return [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in requires(distribution) or ()]
    except PackageNotFoundError:
        return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).strip("-").lower()
