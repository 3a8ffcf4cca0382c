"""How a command finds its server, as steps that one loop takes on asyncio and another in a plain thread.

``route``, ``sentinel`` and ``cluster`` say what to ask whom next, and get the answers back; ``servers`` carries them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from goose_queues.errors import StoreUnavailable
from goose_queues.stores.redis.address import Node

T = TypeVar("T")

Arg: TypeAlias = str | bytes | int | float
Words: TypeAlias = Sequence[Arg]


@dataclass(frozen=True, slots=True)
class Ask:
    """Commands for one server, sent together and answered in turn."""

    node: Node
    commands: Sequence[Words]
    is_sentinel: bool = False
    """One that watches servers: it has a user and a password of its own."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, in seconds, before the next step."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Keep no connection to this server: what it is may have changed."""

    node: Node


Answers: TypeAlias = list[Any] | StoreUnavailable
"""One for each command, ``Refusal`` among them; or why there are none."""
Step: TypeAlias = Sequence[Ask] | Pause | Drop
Steps: TypeAlias = Generator[Step, list[Answers], T]
"""Each ``Ask`` of a step is carried side by side with the others of it, and gets its ``Answers``."""


class Topology(Protocol):
    """Which server is to be asked."""

    @property
    def has_slots(self) -> bool:
        """Whether it is a cluster, in which keys move."""
        ...

    @property
    def is_known(self) -> bool:
        """Whether there is no reason to look for the servers first."""
        ...

    def locate(self) -> Steps[None]:
        """Find out which servers there are.

        Raises:
            StoreUnavailable: Nobody knows.
        """
        ...

    def primaries(self) -> Sequence[Node]:
        """Every server that takes writes.

        Raises:
            StoreUnavailable: None is known.
        """
        ...

    def node_of(self, key: str | None) -> Node:
        """Where a key is; any server for None.

        Raises:
            StoreUnavailable: It is not known.
        """
        ...

    def moved(self, slot: int, node: Node) -> None:
        """Take note that a slot is elsewhere now."""
        ...

    def doubt(self) -> None:
        """Look for the servers anew before the next command: one of them does not answer as it should."""
