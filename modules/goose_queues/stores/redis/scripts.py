"""The Lua scripts that the store runs on the server: files of ``scripts/``, read once.

Each file tells in its first line which parts of ``scripts/lib`` it needs; they are put before it. That is all that is ever
put together: what a script works on comes as keys and arguments.
"""

from __future__ import annotations

import hashlib
import re
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
    folder = files("goose_queues.stores.redis") / "scripts"
    text = (folder / f"{name}.lua").read_text(encoding="utf-8")
    found = _INCLUDE.match(text)
    parts = found[1].split() if found else []
    whole = "\n".join([*((folder / "lib" / f"{part}.lua").read_text(encoding="utf-8") for part in parts), text])
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())
