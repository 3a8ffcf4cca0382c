"""Which names a scaffolded thing may bear, and what follows from a name. Used by ``new``; pure."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection
from typing import Final

from goose.commands.errors import CommandError
from goose.declaration import snake_case

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
QUEUE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def identifier(name: str, what: str) -> str:
    """The name, when it is a plain Python identifier.

    Raises:
        CommandError: It is not, or it is a keyword.
    """
    if NAME.fullmatch(name) is None:
        raise CommandError(f"{name!r} cannot name {what}: use letters, digits and _, beginning with a letter")
    if keyword.iskeyword(name):
        raise CommandError(f"{name!r} cannot name {what}: it is a keyword of Python")
    return name


def class_name(name: str, what: str, taken: Collection[str], ending: str = "") -> str:
    """The class that a name stands for: ``SendEmail`` for ``SendEmail`` and for ``send_email``.

    Args:
        name: What was typed.
        what: What it is to name, for the message.
        taken: Names that the generated file imports.
        ending: What the class's name ends with, whether it was typed or not: ``Module``.

    Raises:
        CommandError: No class or no file can bear it.
    """
    identifier(name, what)
    stem = name if name[0].isupper() else "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    stem = stem.removesuffix(ending) if ending else stem
    cls, module = stem + ending, snake_case(stem)
    if not stem:
        raise CommandError(f"{name!r} cannot name {what}: say what it is about")
    if keyword.iskeyword(stem) or keyword.iskeyword(module):
        raise CommandError(f"{name!r} cannot name {what}: {module} is a keyword of Python, and so no file's name")
    if cls in taken or hasattr(builtins, cls):
        raise CommandError(f"{name!r} cannot name {what}: the name {cls} is taken")
    return cls


def singular(name: str) -> str:
    """One of what a plural names, as far as its letters tell: ``Category`` for ``Categories``, ``News`` for ``News``."""
    if re.search(r"[^aeiou]ies$", name) and len(name) > 4:
        return name.removesuffix("ies") + "y"
    if re.search(r"(ss|sh|ch|x|zz)es$", name):
        return name.removesuffix("es")
    if name.endswith("s") and not re.search(r"(ss|us|is|news)$", name, re.IGNORECASE) and len(name) > 1:
        return name.removesuffix("s")
    return name


def queue_name(name: str) -> str:
    """The name, when a queue can bear it.

    Raises:
        CommandError: It cannot.
    """
    if QUEUE.fullmatch(name) is None:
        raise CommandError(f"{name!r} cannot name a queue: use 1 to 64 of the letters A-Z a-z, digits and _ . -")
    return name
