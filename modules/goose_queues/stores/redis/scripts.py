"""The Lua scripts that the store runs on the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """One script, as it is sent and as the server calls it."""

    name: str
    text: str
    sha: str
    """SHA-1 of the text, in hexadecimal."""
