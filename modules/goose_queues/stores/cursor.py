"""The key of a row as text, from which a later look goes on: whatever a hand has written into that row.

Used by the stores' listings and prunings.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, Final

from goose_queues.errors import InvalidFilter
from goose_queues.record import JobFilter
from goose_queues.stores.text import is_id, plain

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


def page_cursor(wanted: JobFilter, section: str, key: Sequence[object]) -> str:
    """Where the next page of a listing begins."""
    text = cursor_text([_print(wanted), section, *key])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_page_cursor(cursor: str, wanted: JobFilter) -> tuple[str, list[Any]]:
    """The section and the key of such a text.

    Raises:
        InvalidFilter: It is none of a listing with this filter.
    """
    try:
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        print_of_filter, section, *key = cursor_key(text)
    except ValueError:
        raise invalid_cursor(cursor) from None
    if print_of_filter != _print(wanted):
        raise invalid_cursor(cursor)
    return section, key


def invalid_cursor(cursor: str) -> InvalidFilter:
    """It is none of a listing with this filter."""
    return InvalidFilter("cursor", cursor, "use the cursor of an earlier page with the same filter")


def can_match(wanted: JobFilter) -> bool:
    """An id that is none matches nothing, nor does text that cannot be stored."""
    texts = (wanted.queue, wanted.name, wanted.chain_id, wanted.batch_id)
    ids = (wanted.chain_id, wanted.batch_id)
    if "" in texts or not all(plain(text) == text for text in filter(None, texts)):
        return False
    return all(is_id(text) for text in ids if text is not None)


def _print(wanted: JobFilter) -> int:
    """Tells filters apart, so that a cursor is not taken for a place in another listing."""
    return zlib.crc32(json.dumps(astuple(wanted)).encode())


def _part(part: Any) -> Any:
    if isinstance(part, dict):
        return bytes.fromhex(part["hex"])
    if isinstance(part, str):
        part.encode()
    elif isinstance(part, bool) or not (isinstance(part, float) or (isinstance(part, int) and part in _INTEGERS)):
        raise ValueError(part)
    return part
