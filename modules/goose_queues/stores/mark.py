"""What a bench calls the things that it makes on a store, so that those of a killed one are known for what they are.

Used by the grounds of ``goose queue bench``: the name says when it was made, by the clock of the process that made it.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

MARK: Final = r"[0-9a-f]{10}"
"""A mark, as a pattern: the second in which it was made, and what tells it from others of that second."""
KEPT: Final = 24 * 3600
"""Seconds after which a bench has ended or was killed: what has its mark is nobody's then."""
_LONGEST: Final = 14
"""Characters of the application's own prefix, so that all of it stays an identifier that a queue may have."""


def new_mark() -> str:
    """A mark of this moment."""
    return f"{int(time.time()):08x}{secrets.token_hex(1)}"


def is_left_behind(mark: str) -> bool:
    """Whether whoever made it is long gone."""
    return int(mark[:8], 16) < time.time() - KEPT


def queue_prefix(prefix: str, mark: str) -> str:
    """What the names of the bench's own queue begin with, next to those of the application's."""
    return f"{stem(prefix)}{mark}q_"


def raw_prefix(prefix: str, mark: str) -> str:
    """The same of what is there to find out the store's own limit."""
    return f"{stem(prefix)}{mark}r_"


def stem(prefix: str) -> str:
    """What the names of all benches begin with."""
    return f"{prefix[:_LONGEST]}bench_"
