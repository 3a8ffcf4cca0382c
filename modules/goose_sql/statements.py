"""What a statement will do to a SQLite file, told from its text: read, write, or manage a transaction by itself."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Kind(Enum):
    """What has to happen before a statement outside a transaction runs."""

    READS = "reads"
    """Nothing: it sees the newest data and keeps no snapshot."""
    WRITES = "writes"
    """The turn is taken and a transaction begun."""
    ALONE = "alone"
    """The turn is taken, but no transaction begun: it brings its own, or must not run in one."""


_TOKEN: Final = re.compile(
    r"""\s+ | --[^\n]* | /\*.*?(?:\*/|$) | ; | '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \[[^\]]*\] | (?P<open>\()"""
    r""" | (?P<close>\)) | (?P<word>\w+) | .""",
    re.VERBOSE | re.DOTALL,
)
_READS: Final = frozenset({"SELECT", "VALUES", "EXPLAIN", "PRAGMA", "COMMIT", "END", "ROLLBACK", "RELEASE", ""})
_ALONE: Final = frozenset({"BEGIN", "VACUUM", "ATTACH", "DETACH"})
_VERBS: Final = frozenset({"SELECT", "VALUES", "INSERT", "UPDATE", "DELETE", "REPLACE"})


def kind_of(sql: str) -> Kind:
    """The kind of a statement; what cannot be told apart counts as writing."""
    verb = _verb(sql)
    if verb in _READS:
        return Kind.READS
    return Kind.ALONE if verb in _ALONE else Kind.WRITES


def _verb(sql: str) -> str:
    """The word that says what the statement does: the first, or behind the tables of a WITH."""
    depth, first = 0, True
    for token in _TOKEN.finditer(sql):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["word"] and depth == 0:
            word = token["word"].upper()
            if first and word != "WITH":
                return word
            if not first and word in _VERBS:
                return word
            first = False
    return "" if first else "WITH"
