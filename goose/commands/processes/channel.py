"""What a process says to its parent, one JSON object in a line, and how it finds the way there.

Written by ``parent`` in the process, read by ``process`` in the parent. Nothing is said in the other direction: signals tell
a process to stop, and the end of the channel that its parent is gone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias

ENVIRONMENT: Final = "GOOSE_PROCESS"
"""The variable in which a process finds its place; taken out at once, so that what it starts does not."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a process has to know to be one of several."""

    number: int
    """From 1 on; its successors have the same."""
    channel: int
    """The descriptor of its end."""
    turn: int
    """A descriptor that all have: who holds its lock may write to the log."""
    sockets: tuple[int, ...] = ()
    """Bound by the parent, for all to listen on."""

    def entry(self) -> dict[str, str]:
        """For the environment of the process."""
        return {ENVIRONMENT: json.dumps(asdict(self))}

    @classmethod
    def taken(cls) -> Place | None:
        """That of this process, out of its environment; None where it is one of its own."""
        text = os.environ.pop(ENVIRONMENT, None)
        if text is None:
            return None
        facts = json.loads(text)
        return cls(facts["number"], facts["channel"], facts["turn"], tuple(facts["sockets"]))


Successor: TypeAlias = Literal["none", "at once", "not too often"]


@dataclass(frozen=True, slots=True)
class Ready:
    """It has started and is at work."""

    on: str
    """What it does, for the log."""


@dataclass(frozen=True, slots=True)
class State:
    """How it stands."""

    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leaving:
    """It takes nothing more on, finishes what runs, and ends."""

    reason: str
    successor: Successor
    """Whether another is to take its place, and in what hurry."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It ends with an error."""

    reason: str
    code: int


Message: TypeAlias = Ready | State | Leaving | Failed

_CLASSES: Final[dict[str, type[Any]]] = {cls.__name__: cls for cls in (Ready, State, Leaving, Failed)}


def pack(message: Message) -> bytes:
    """One line."""
    return json.dumps({type(message).__name__: asdict(message)}, default=str).encode() + b"\n"


def unpack(line: bytes) -> Message:
    """The message that ``pack`` was given."""
    ((name, facts),) = json.loads(line).items()
    message: Message = _CLASSES[name](**facts)
    return message
