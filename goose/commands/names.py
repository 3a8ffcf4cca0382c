"""Which names a scaffolded thing may bear, and what follows from a name. Used by ``new``; pure."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass
from typing import Final

from goose.commands.errors import CommandError
from goose.declaration import snake_case

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
QUEUE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
LONGEST: Final = 40
"""Characters: a file's name may have a few more than six times as many, a line of the generated source twice."""
DEVICES: Final = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
"""What Windows takes for a device, whatever comes behind the dot."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a part is called: its class, and the label that its file or folder bears."""

    cls: str
    label: str


def identifier(name: str, what: str) -> str:
    """The name, when it is a plain Python identifier.

    Raises:
        CommandError: It is not, it is a keyword or a device, or it is too long.
    """
    if NAME.fullmatch(name) is None:
        raise CommandError(f"{_shortened(name)} cannot name {what}: use letters, digits and _, beginning with a letter")
    if keyword.iskeyword(name):
        raise CommandError(f"{name!r} cannot name {what}: it is a keyword of Python")
    if DEVICES.fullmatch(name.lower()):
        raise CommandError(f"{name!r} cannot name {what}: on Windows it is a device, and so no file's name")
    if len(name) > LONGEST:
        raise CommandError(f"{_shortened(name)} cannot name {what}: it has more than {LONGEST} characters")
    return name


def part_name(typed: str, what: str, ending: str = "") -> Name:
    """What a name stands for: ``SendEmail`` in ``send_email``, whether it was typed as the one or the other.

    Args:
        typed: What was typed.
        what: What it is to name, for the message.
        ending: What the class's name ends with, typed or not, and the label does not: ``Controller``.

    Raises:
        CommandError: No class or no file can bear it.
    """
    words = [word for word in identifier(typed, what).split("_") if word]
    stem = "".join(word[:1].upper() + word[1:] for word in words)
    label = "_".join(map(snake_case, words))
    if ending:
        stem, label = stem.removesuffix(ending), f"_{label}".removesuffix(f"_{ending.lower()}").removeprefix("_")
    cls = stem + ending
    if not stem:
        raise CommandError(f"{typed!r} cannot name {what}: say what it is about")
    if keyword.iskeyword(cls) or keyword.iskeyword(label):
        raise CommandError(f"{typed!r} cannot name {what}: {label} is a keyword of Python, and so no file's name")
    if hasattr(builtins, cls):
        raise CommandError(f"{typed!r} cannot name {what}: Python has its own {cls}")
    if len(label) > LONGEST:
        raise CommandError(f"{typed!r} cannot name {what}: its file, {label}, has more than {LONGEST} characters")
    return Name(cls, label)


def singular(name: str) -> str:
    """One of what a plural names, as far as its letters tell: ``Category`` for ``Categories``, ``News`` for ``News``."""
    if re.search(r"[^aeiou]ies$", name) and not re.search(r"(^.ies|movies|cookies)$", name, re.IGNORECASE):
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
        raise CommandError(
            f"{_shortened(name)} cannot name a queue: use 1 to 64 of the letters A-Z a-z, digits and _ . -"
        )
    return name


def _shortened(name: str) -> str:
    return repr(name) if len(name) <= LONGEST else f"{name[:LONGEST]!r}..."
