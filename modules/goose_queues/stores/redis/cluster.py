"""The nodes of a Redis Cluster: each key belongs to one of 16384 slots, each slot to one primary at a time."""

from __future__ import annotations

import binascii
import random
from collections.abc import Sequence
from typing import Any, Final

from goose_queues.errors import ConfigError, StoreUnavailable
from goose_queues.stores.redis.address import Address, Node
from goose_queues.stores.redis.refusal import Refusal
from goose_queues.stores.redis.steps import Ask, Steps

SLOTS: Final = 16384


class Cluster:
    """The topology of a cluster."""

    has_slots = True

    def __init__(self, address: Address) -> None:
        self._url = address.text
        self._first = address.nodes
        self._slots: dict[int, Node] = {}
        self._primaries: tuple[Node, ...] = ()
        self._is_doubted = True

    @property
    def is_known(self) -> bool:
        return not self._is_doubted

    def locate(self) -> Steps[None]:
        """Ask one node after the other which slots are where."""
        reason = ""
        known = random.sample(self._primaries, len(self._primaries))
        for node in dict.fromkeys((*known, *self._first)):
            [answers] = yield [Ask(node, [("CLUSTER", "SLOTS")])]
            if isinstance(answers, StoreUnavailable):
                reason = answers.reason
            elif isinstance(answers[0], Refusal):
                reason = self._refused(answers[0])
            elif slots := _slots(answers[0], node):
                self._slots, self._primaries = slots, tuple(dict.fromkeys(slots.values()))
                self._is_doubted = False
                return
            else:
                reason = "no node of the cluster has any slots."
        raise StoreUnavailable(self._url, reason)

    def primaries(self) -> Sequence[Node]:
        if not self._primaries:
            raise StoreUnavailable(self._url, "the nodes of the cluster have not been asked yet.")
        return self._primaries

    def node_of(self, key: str | None) -> Node:
        if key is None:
            return random.choice(self.primaries())  # noqa: S311 - any of them
        node = self._slots.get(slot := slot_of(key))
        if node is None:
            self.doubt()
            raise StoreUnavailable(self._url, f"no node of the cluster has slot {slot}.")
        return node

    def moved(self, slot: int, node: Node) -> None:
        self._slots[slot] = node
        # More has moved, as a rule.
        self.doubt()

    def doubt(self) -> None:
        self._is_doubted = True

    def _refused(self, refusal: Refusal) -> str:
        if "cluster support disabled" in refusal.text:
            raise ConfigError(f"url={self._url!r}: this server is no cluster: write redis://")
        return refusal.reason or f"{refusal.text}."


def slot_of(key: str) -> int:
    """The slot of a key: of what stands in its first braces, if there is something, else of the whole."""
    _, brace, rest = key.partition("{")
    tag, end, _ = rest.partition("}")
    hashed = tag if brace and end and tag else key
    return binascii.crc_hqx(hashed.encode("utf-8", "backslashreplace"), 0) % SLOTS


def _slots(ranges: list[Any], asked: Node) -> dict[int, Node]:
    """What ``CLUSTER SLOTS`` says: for each range its first and last slot, its primary, and its replicas."""
    found: dict[int, Node] = {}
    for first, last, (host, port, *_), *_ in ranges:
        # Without a host it is the one that was asked; "?" is one that it does not know either.
        if host != "?":
            found.update(dict.fromkeys(range(first, last + 1), Node(host or asked.host, port)))
    return found
