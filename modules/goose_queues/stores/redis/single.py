"""One server, always the same."""

from __future__ import annotations

from collections.abc import Sequence

from goose_queues.stores.redis.address import Node
from goose_queues.stores.redis.steps import Steps


class Single:
    """The topology of one server."""

    has_slots = False
    is_known = True

    def __init__(self, node: Node) -> None:
        self._node = node

    def locate(self) -> Steps[None]:
        yield from ()

    def primaries(self) -> Sequence[Node]:
        return (self._node,)

    def node_of(self, key: str | None) -> Node:  # noqa: ARG002 - it has all keys
        return self._node

    def moved(self, slot: int, node: Node) -> None:
        """There are no slots."""

    def doubt(self) -> None:
        """There is no other."""
