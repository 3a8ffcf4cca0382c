"""The log on stderr: lines for people, or JSON for programs, from one process or from several that share it.

Commands that run until they are stopped call ``show``; the processes that they start show theirs in the same style.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TextIO

log = logging.getLogger("goose")

_USUAL: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message", "websocket"}
)
"""What a record has in any case, and what uvicorn adds for its own formatter; the rest is somebody's ``extra``."""
_TALKATIVE: Final = ("alembic",)
"""Those tell how they set themselves up, at every start; it is heard in debugging."""


@dataclass(frozen=True, slots=True)
class Style:
    """How the log of a process looks."""

    level: int = logging.INFO
    as_json: bool = False
    number: int | None = None
    """Of this process, where several write the log; it stands in each line."""
    turn: int | None = None
    """Descriptor of a file that all of them have, whose lock is held while a line is written; None: it is not shared."""


def show(style: Style) -> None:
    """Write the log to stderr, unless somebody has seen to it already."""
    root = logging.getLogger()
    if root.handlers:
        return
    root.addHandler(_Lines(style))
    root.setLevel(style.level)
    if style.level > logging.DEBUG:
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
    if style.as_json:
        logging.captureWarnings(True)


def shown() -> Style | None:
    """The style in which this process shows its log; None where somebody else decides that."""
    return next((handler.style for handler in logging.getLogger().handlers if isinstance(handler, _Lines)), None)


@contextlib.contextmanager
def shared() -> Iterator[int]:
    """Within the block other processes write to the same place, line by line; they need the descriptor as their ``turn``."""
    handler = next((handler for handler in logging.getLogger().handlers if isinstance(handler, _Lines)), None)
    with tempfile.TemporaryFile() as file:
        if handler is not None:
            handler.style = replace(handler.style, turn=file.fileno())
        try:
            yield file.fileno()
        finally:
            if handler is not None:
                handler.style = replace(handler.style, turn=None)


def complain(sentence: str) -> None:
    """Say why a command ends: its one line on stderr, in the style of the log."""
    style = shown()
    if style is not None and style.as_json:
        log.critical("%s", sentence)
    else:
        print(f"goose: {sentence}", file=sys.stderr)  # noqa: T201 - the one line that a terminal is to show


class _Lines(logging.StreamHandler[TextIO]):
    """Writes each record in one piece, also where other processes write to the same place."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        label = "" if style.number is None else f"[{style.number}] "
        self.setFormatter(_Json(style.number) if style.as_json else logging.Formatter(f"{label}{HUMAN}"))

    def emit(self, record: logging.LogRecord) -> None:
        with _alone(self.style.turn):
            super().emit(record)


HUMAN: Final = "%(levelname)s:     %(message)s"


class _Json(logging.Formatter):
    """One object in a line; what a record was given as ``extra`` stands beside the fields that all have."""

    def __init__(self, number: int | None) -> None:
        super().__init__()
        self._number = number

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        if self._number is not None:
            facts["number"] = self._number
        facts |= {name: value for name, value in vars(record).items() if name not in _USUAL and name not in facts}
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        try:
            return json.dumps(facts, default=str, allow_nan=False)
        except (TypeError, ValueError):  # A field that holds itself, a key that is no text, a number that is none.
            return json.dumps({name: repr(value) if name not in _PLAIN else value for name, value in facts.items()})


_PLAIN: Final = frozenset({"time", "level", "logger", "message", "pid", "number", "exception"})


@contextlib.contextmanager
def _alone(turn: int | None) -> Iterator[None]:
    """While no other process writes. A pipe takes short lines whole, long ones only while it has room."""
    if turn is None:
        yield
        return
    import fcntl  # not on Windows, where no processes share a log

    # Of a process, not of a thread or descriptor: the kernel lets go of it when the process dies.
    fcntl.lockf(turn, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(turn, fcntl.LOCK_UN)
