"""Plain values as the formatter writes them in a source. Used for defaults that were typed, and for samples."""

from __future__ import annotations

from typing import Any, Final

LATIN: Final = frozenset(chr(code) for code in range(0xC0, 0x100)) - {"\xd7", "\xf7"}
"""Letters beyond ASCII that no linter takes for others."""


def written(value: Any) -> str:
    """A literal for None, a boolean, a number, a text, or a list or dict of such."""
    match value:
        case str():
            return _quoted(value)
        case list():
            return f"[{', '.join(map(written, value))}]"
        case dict():
            return f"{{{', '.join(f'{written(key)}: {written(item)}' for key, item in value.items())}}}"
    return repr(value)


def _quoted(text: str) -> str:
    """In double quotes, unless that takes more backslashes."""
    quote = '"' if text.count('"') <= text.count("'") else "'"
    return quote + "".join(_character(each, quote) for each in text) + quote


def _character(each: str, quote: str) -> str:
    if each in (quote, "\\"):
        return f"\\{each}"
    if (each.isascii() and each.isprintable()) or each in LATIN:
        return each
    return ascii(each)[1:-1]
