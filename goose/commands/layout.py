"""Lines of Python as ruff lays them out, however long the names in them are. What templates call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from goose.commands.settings import line_length


def import_lines(names: Iterable[str]) -> str:
    """``from a import B, C`` for ``["a.C", "a.B"]``: one section, sorted, each module once."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        module, _, imported = name.rpartition(".")
        found[module].add(imported)
    return "\n".join(_import(module, sorted(found[module], key=_order)) for module in sorted(found))


def on_lines(opening: str, items: Sequence[str], closing: str, indent: int = 0) -> str:
    """A call or a head: on one line where it fits, else its items on the next, else each on its own.

    The only parameter of a function is always on its own.
    """
    space, inner = " " * indent, " " * (indent + 4)
    one = f"{opening}{', '.join(items)}{closing}"
    if len(space) + len(one) <= line_length() or not items:
        return one
    only_parameter = len(items) == 1 and opening.removeprefix("async ").startswith("def ")
    if len(inner) + len(", ".join(items)) <= line_length() and not only_parameter:
        return f"{opening}\n{inner}{', '.join(items)}\n{space}{closing}"
    return "\n".join([opening, *(f"{inner}{item}," for item in items), f"{space}{closing}"])


def _import(module: str, names: Sequence[str]) -> str:
    one = f"from {module} import {', '.join(names)}"
    if len(one) <= line_length():
        return one
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


def _order(name: str) -> tuple[int, str]:
    """Constants, classes, functions, as isort has them."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)
