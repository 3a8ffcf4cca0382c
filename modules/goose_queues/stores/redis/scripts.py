"""The Lua scripts that the store runs on the server: files of ``scripts/``, read once.

Each file tells in its first line which parts of ``scripts/lib`` it needs, and so does a part; they are put before it. That is
all that is ever put together: what a script works on comes as keys and arguments.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_INCLUDE: Final = re.compile(r"-- include: ([a-z ]+)\n")


@dataclass(frozen=True, slots=True)
class Script:
    """One script, as it is sent and as the server calls it."""

    name: str
    text: str
    sha: str
    """SHA-1 of the text, in hexadecimal."""


@cache
def script(name: str) -> Script:
    """The script of that file."""
    whole = "\n".join(_with_parts(f"{name}.lua", set()))
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


def _with_parts(file: str, had: set[str]) -> Iterator[str]:
    """The text of a file after those of the parts that it needs, each of them once."""
    text = (files("goose_queues.stores.redis") / "scripts" / file).read_text(encoding="utf-8")
    found = _INCLUDE.match(text)
    for part in found[1].split() if found else ():
        if part not in had:
            had.add(part)
            yield from _with_parts(f"lib/{part}.lua", had)
    yield text
