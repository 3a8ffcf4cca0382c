"""Text as every store can hold it: ids, errors, and whatever else may have come from anywhere."""

from __future__ import annotations

import json
from typing import Final

from goose_queues.record import ErrorRecord

_ID_LENGTH: Final = 36


def is_id(text: str) -> bool:
    """Whether a job or batch can have this id; what cannot is not looked for."""
    return len(text) <= _ID_LENGTH and text.isascii() and "\0" not in text


def plain(text: str | None) -> str | None:
    """Free text that every database can hold: lone surrogates and NUL are written out."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def error_text(error: ErrorRecord) -> str:
    """An error as the column holds it: ASCII, whatever characters the error has."""
    return json.dumps({"type": error.type, "message": error.message, "traceback": error.traceback})


def error_record(text: object) -> ErrorRecord:
    """The other way round; text that a hand has written becomes the message."""
    try:
        fields = json.loads(str(text))
        return ErrorRecord(str(fields["type"]), str(fields["message"]), str(fields["traceback"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return corruption("error", text)


def corruption(column: str, value: object) -> ErrorRecord:
    """The error of a job of which something is stored that it cannot have."""
    return ErrorRecord("CorruptRow", f"corrupt row: {column} is {brief(value)}", "")


def brief(value: object) -> str:
    """Whatever it is, in a few characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
