"""A source as a tree, and back: what both kinds of registration begin and end with."""

from __future__ import annotations

from codecs import BOM_UTF8

import libcst as cst

from goose.commands.errors import CannotRegister
from goose.commands.registration.imports import binding, with_import


def read(source: bytes) -> cst.Module:
    """The tree of a source.

    Raises:
        CannotRegister: It is not valid Python.
    """
    try:
        return cst.parse_module(source.removeprefix(BOM_UTF8))
    except (cst.ParserSyntaxError, SyntaxError, UnicodeDecodeError) as error:  # SyntaxError: of its encoding
        raise CannotRegister("it is not valid Python") from error


def imported(tree: cst.Module, above: int, name: str, place: str, package: str) -> cst.Module:
    """The tree with a class imported above the statement of this number, unless it is imported already.

    Raises:
        CannotRegister: The name means something else there.
    """
    found = binding(tree, name, package)
    if found is not None and found != place:
        raise CannotRegister(f"{name} means something else there already")
    return tree if found == place else with_import(tree, above, name, place)


def written(tree: cst.Module, source: bytes) -> bytes:
    """The tree as a source again, with the byte order mark that the source began with."""
    return (BOM_UTF8 if source.startswith(BOM_UTF8) else b"") + tree.bytes
