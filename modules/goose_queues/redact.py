"""What keeps secrets and control characters out of logs, error texts and reprs.

Called wherever text that the queue did not write itself is shown: names, values, messages, addresses.
"""

from __future__ import annotations

import re
from typing import Any, Final

MASK: Final = "***"

_NAMES: Final = "password|passwd|token|secret|authorization|cookie|api[_-]?key"
SECRET_NAME: Final = re.compile(_NAMES, re.IGNORECASE)

# Every part is bounded or ends at a character that it excludes, so that the time is linear in the text.
_URL_PASSWORD: Final = re.compile(
    r"""(://[^\s:/@?#]{0,256}:)(?!\d{1,5}[/?\#])(?:[^\s/"'<>]{1,2048}|[^\s@"'<>]{1,256})@"""
)
_HEADER: Final = re.compile(r"""((?:authorization|cookie)[\w-]{0,32}\s{0,4}:\s{0,4})[^\n"']{1,4096}""", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(
    rf"""((?:{_NAMES})[\w-]{{0,32}}(?:\\{{0,8}}["'])?\s{{0,4}}[=:]\s{{0,4}})"""
    # Masked already.
    r"""(?!["']?\*{3}(?:["'\s,;&)}\]]|\Z))"""
    # Quoted, also where the whole is quoted once more; quoted and cut off; in brackets; else up to what ends a word.
    r"""([bru]{0,2}"(?:[^"\\\n]|\\.){0,1024}"|[bru]{0,2}'(?:[^'\\\n]|\\.){0,1024}'"""
    r"""|\\{1,8}["'][^\n]{0,1024}?\\{1,8}["']|[bru]{0,2}\\{0,8}["'][^\n]{0,1024}"""
    r"""|[\[({][^\n]{0,1024}[\])}]|(?:(?:bearer|basic)\s{1,4})?[^\s"'&,;)}\]]{1,1024})""",
    re.IGNORECASE,
)
# What pydantic says of a field: its name on one line, and what was given at the end of the next.
_INPUT_VALUE: Final = re.compile(
    rf"((?:{_NAMES})[^\n]{{0,200}}\n  [^\n]{{0,1000}}?\binput_value=)[^\n]{{0,2000}}?(?=, input_type=)", re.IGNORECASE
)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def is_secret(name: str) -> bool:
    """Whether a field of this name is never shown."""
    return SECRET_NAME.search(name) is not None


def mask_secrets(text: str) -> str:
    """The text without the passwords in its URLs, and without what looks like the value of a secret's name."""
    text = _INPUT_VALUE.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1{MASK}@", text))
    return _SECRET_VALUE.sub(rf"\1{MASK}", _HEADER.sub(rf"\1{MASK}", text))


def mask_fields(value: Any) -> Any:
    """A JSON value without what its fields of a secret's name hold; its texts are masked as ``mask_secrets`` does."""
    match value:
        case dict():
            return {name: MASK if is_secret(str(name)) else mask_fields(held) for name, held in value.items()}
        case list():
            return [mask_fields(held) for held in value]
        case str():
            return mask_secrets(value)
        case _:
            return value


def one_line(text: object, limit: int = 500) -> str:
    """The text fit for one line of a log: nothing in it starts a new line or drives a terminal.

    What a hand has written into the store need not be text; then it is shown as Python does.
    """
    if not isinstance(text, str):
        text = repr(text)
    return cut(_CONTROL.sub(_escape, text[: limit + 1]), limit)


def cut(text: str, limit: int = 80) -> str:
    """At most ``limit`` characters of a text."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
