"""From a command to its answer: by way of the right server, and of others where it has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from goose_queues.errors import QueueError, StoreUnavailable
from goose_queues.stores.redis.address import Node
from goose_queues.stores.redis.refusal import Refusal
from goose_queues.stores.redis.steps import Ask, Drop, Pause, Steps, Topology, Words

_PAUSES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Between the tries of a command whose slot is being moved, in seconds."""
_HOPS: Final = 8
"""Redirections that one command follows; two nodes that send it to each other must not go on for ever."""


@dataclass(frozen=True, slots=True)
class Call:
    """One command, and what it needs to find its way."""

    words: Words
    key: str | None
    """Decides on the node; None: any."""
    unknown: Words | None = None
    """To be sent where the server does not know the script: the same with the script's text."""
    node: Node | None = None
    """The one node that is meant, whatever the key."""


@dataclass(frozen=True, slots=True)
class _Try:
    """A call on its way."""

    call: Call
    node: Node
    is_asking: bool = False
    """Sent to where the slot is being moved to, which wants to be told so."""
    has_text: bool = False
    hops: int = 0
    pauses: int = 0

    def commands(self) -> list[Words]:
        words = self.call.unknown if self.has_text and self.call.unknown else self.call.words
        return [("ASKING",), words] if self.is_asking else [words]


def fulfil(topology: Topology, url: str, calls: Sequence[Call]) -> Steps[list[Any]]:
    """Get each call's answer, or the error it came to, in the calls' order."""
    found: list[Any] = [None] * len(calls)
    left: dict[int, _Try] = {}
    for index, call in enumerate(calls):
        try:
            left[index] = _Try(call, call.node or topology.node_of(call.key))
        except StoreUnavailable as error:
            found[index] = error
    while left:
        parts = _by_node(left)
        answered = yield [
            Ask(node, [words for one in part.values() for words in one.commands()]) for node, part in parts.items()
        ]
        left, pause = {}, 0.0
        for (node, part), answers in zip(parts.items(), answered, strict=True):
            if isinstance(answers, StoreUnavailable):
                topology.doubt()
                yield Drop(node)
                found_here: list[Any] = [answers] * len(part)
            else:
                found_here = _own(part, answers)
            for (index, one), answer in zip(part.items(), found_here, strict=True):
                if not isinstance(answer, Refusal):
                    found[index] = answer
                elif again := _again(topology, one, answer):
                    left[index] = again
                    pause = max(pause, _PAUSES[again.pauses - 1] if again.pauses > one.pauses else 0)
                else:
                    found[index] = _given_up(topology, url, answer)
                    if answer.is_of_replica:
                        yield Drop(node)
        if pause:
            yield Pause(pause)
    return found


def _by_node(tries: dict[int, _Try]) -> dict[Node, dict[int, _Try]]:
    parts: dict[Node, dict[int, _Try]] = {}
    for index, one in tries.items():
        parts.setdefault(one.node, {})[index] = one
    return parts


def _own(part: dict[int, _Try], answers: list[Any]) -> list[Any]:
    """The answers without those to ASKING."""
    rest = iter(answers)
    return [(next(rest), next(rest))[1] if one.is_asking else next(rest) for one in part.values()]


def _again(topology: Topology, one: _Try, refusal: Refusal) -> _Try | None:
    """The next try of what was refused; None where there is no use in it."""
    match refusal.text.split():
        case ["NOSCRIPT", *_] if one.call.unknown and not one.has_text:
            return replace(one, has_text=True)
        case ["MOVED", slot, place] if topology.has_slots and one.hops < _HOPS and one.call.node is None:
            node = _node(place, one.node)
            topology.moved(int(slot), node)
            return replace(one, node=node, is_asking=False, hops=one.hops + 1)
        case ["ASK", _, place] if one.hops < _HOPS and one.call.node is None:
            return replace(one, node=_node(place, one.node), is_asking=True, hops=one.hops + 1)
        case ["TRYAGAIN", *_] if one.pauses < len(_PAUSES):
            # By the time the slot may have arrived: the way begins anew.
            node = topology.node_of(one.call.key)
            return replace(one, node=node, is_asking=False, hops=0, pauses=one.pauses + 1)
        case _:
            return None


def _given_up(topology: Topology, url: str, refusal: Refusal) -> QueueError:
    if refusal.code in ("MOVED", "ASK") and topology.has_slots:
        topology.doubt()
        return StoreUnavailable(url, "the nodes of the cluster do not agree on which of them has the slot.")
    if refusal.reason is not None:
        topology.doubt()
    return refusal.error(url)


def _node(place: str, asked: Node) -> Node:
    """``host:port`` as a redirection has it; without a host it is the one that was asked."""
    host, _, port = place.rpartition(":")
    return Node(host or asked.host, int(port))
