"""The store's own limit: the standard library's sqlite3 and one plain table, with no queue around it."""

from __future__ import annotations

import json

from goose_queues.stores.sql.raw_file import Row, claim, complete, connect, insert
from goose_queues.stores.sql.raw_file import row as row_of

from .measure import text_for

__all__ = ["claim", "complete", "connect", "insert", "payload", "row"]


def row(number: int) -> Row:
    """A waiting job as its row."""
    return row_of(payload(number))


def payload(number: int) -> str:
    """What is stored of job ``number``."""
    return json.dumps({"number": number, "text": text_for(number)}, separators=(",", ":"))
