"""What a worker's process and its child processes say to each other, as JSON: each message after its length.

Written and read by ``spawned`` and ``errand`` on the parent's side, by ``child`` on the other. A record travels with all
of its fields under its class's name; only the classes listed here are made from what is read.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from goose.log import Style
from goose.origin import Origin
from goose_queues import record
from goose_queues.control import Reason
from goose_queues.errors import JobTimeout, ProcessDied
from goose_queues.record import ClaimedJob, ErrorRecord, Outcome

HEAD: Final = struct.Struct(">I")
"""Before each message: how many bytes it has."""

_KIND: Final = "$"
_TIME: Final = "datetime"


@dataclass(frozen=True, slots=True)
class Hello:
    """The parent's first word: what the child has to know before it imports the application."""

    origins: tuple[Origin, ...]
    path: tuple[str, ...]
    """``sys.path``."""
    argv: tuple[str, ...]
    python_path: str | None
    """The environment's own PYTHONPATH, which carries ``path`` until the child has read this."""
    log: Style | None
    """Where the parent shows its log; for a child that would show none."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The child has booted, and waits for orders."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The child could not boot, and ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Run:
    """The order to run an attempt; answered by ``Done``."""

    claimed: ClaimedJob


@dataclass(frozen=True, slots=True)
class Judge:
    """The order to say what follows an attempt that could not say so itself; answered by ``Done``."""

    claimed: ClaimedJob
    exit_code: int | None
    """How its process ended; None: it was killed because the attempt ran out of time."""

    def error(self) -> JobTimeout | ProcessDied:
        """What the attempt has failed with."""
        if self.exit_code is None:
            return JobTimeout(self.claimed.name, self.claimed.timeout)
        return ProcessDied(self.claimed.name, self.exit_code)


@dataclass(frozen=True, slots=True)
class Stop:
    """The attempt is to end soon."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class Quit:
    """No more orders: the child shuts its application down and ends."""


@dataclass(frozen=True, slots=True)
class Began:
    """User code runs from here on, and its time counts."""


@dataclass(frozen=True, slots=True)
class Ended:
    """User code has ended; what follows, like the commit, is not to be torn by a timeout."""


@dataclass(frozen=True, slots=True)
class Failing:
    """The attempt has failed for good, and ``on_failure`` comes next."""

    error: ErrorRecord


@dataclass(frozen=True, slots=True)
class Done:
    """What became of the attempt."""

    outcome: Outcome


Order: TypeAlias = Run | Judge
Message: TypeAlias = Hello | Ready | Refused | Run | Judge | Stop | Quit | Began | Ended | Failing | Done

_OWN: Final = (Origin, Style, Hello, Ready, Refused, Run, Judge, Stop, Quit, Began, Ended, Failing, Done)
_CLASSES: Final[dict[str, type[Any]]] = {
    cls.__name__: cls for cls in (*_OWN, *vars(record).values()) if isinstance(cls, type) and is_dataclass(cls)
}


def pack(message: Message) -> bytes:
    """One message, with its length before it."""
    text = json.dumps(_plain(message), separators=(",", ":")).encode()
    return HEAD.pack(len(text)) + text


def unpack(text: bytes) -> Message:
    """The message that ``pack`` was given, without the length before it."""
    message: Message = _made(json.loads(text))
    return message


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {_KIND: type(value).__name__, **plain}
    if isinstance(value, datetime):
        return {_KIND: _TIME, "iso": value.isoformat()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _made(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(map(_made, plain))
    if not isinstance(plain, dict):
        return plain
    if plain[_KIND] == _TIME:
        return datetime.fromisoformat(plain["iso"])
    cls = _CLASSES[plain[_KIND]]
    known = {field.name for field in fields(cls)}
    return cls(**{name: _made(value) for name, value in plain.items() if name in known})
