"""The key of a row as text, from which a later look goes on: whatever a hand has written into that row.

Used by the stores' listings and prunings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

_INTEGERS: Final = range(-(2**63), 2**63)


def cursor_text(key: Sequence[object]) -> str:
    """A key as JSON; bytes are in none of its types."""
    return json.dumps([{"hex": part.hex()} if isinstance(part, bytes) else part for part in key])


def cursor_key(text: str | bytes) -> list[Any]:
    """The other way round.

    Raises:
        ValueError: It is nothing that ``cursor_text`` has made, or nothing that a column can be compared with.
    """
    try:
        return [_part(part) for part in json.loads(text)]
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(text) from error


def _part(part: Any) -> Any:
    if isinstance(part, dict):
        return bytes.fromhex(part["hex"])
    if isinstance(part, str):
        part.encode()
    elif isinstance(part, bool) or not (isinstance(part, float) or (isinstance(part, int) and part in _INTEGERS)):
        raise ValueError(part)
    return part
