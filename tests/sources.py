"""The package's own source as syntax trees, for tests that show what is nowhere in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import goose
import goose_queues
import goose_sql

PACKAGES = (goose, goose_sql, goose_queues)


def files(*packages: ModuleType) -> Iterator[tuple[str, Path]]:
    """Every module of the packages, as ``goose_sql/urls.py``."""
    for package in packages or PACKAGES:
        folder = Path(next(iter(package.__path__)))
        for file in sorted(folder.rglob("*.py")):
            yield file.relative_to(folder.parent).as_posix(), file


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the last part of what is called: ``execute`` of ``raw.execute(...)``."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name, node


def imports(file: Path) -> Iterator[str]:
    """Every module that is imported, as ``importlib.util``."""
    for node in ast.walk(tree(file)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
