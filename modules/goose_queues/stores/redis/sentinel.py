"""A master that sentinels watch: they say where it is, and are asked again after it failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from goose_queues.errors import StoreUnavailable
from goose_queues.redact import one_line
from goose_queues.stores.redis.address import Address, Node
from goose_queues.stores.redis.refusal import Refusal
from goose_queues.stores.redis.steps import Ask, Steps

_NEVER: Final = Node("", 0)


class Sentinels:
    """The topology of a master and its sentinels."""

    has_slots = False

    def __init__(self, address: Address) -> None:
        self._url = address.text
        self._name = address.service
        self._sentinels = list(address.nodes)
        self._master = _NEVER
        self._is_doubted = True

    @property
    def is_known(self) -> bool:
        return not self._is_doubted

    def locate(self) -> Steps[None]:
        """Ask one sentinel after the other, and the master that it names whether it is one.

        A sentinel that is cut off from the others may still name the old one.
        """
        faults = []
        for sentinel in list(self._sentinels):
            [answers] = yield [Ask(sentinel, [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)], is_sentinel=True)]
            master = self._named(answers, sentinel)
            if isinstance(master, Node):
                [answers] = yield [Ask(master, [("ROLE",)])]
                fault = _fault(answers, master)
                if fault is None:
                    self._master, self._is_doubted = master, False
                    # Whoever answers is asked first the next time.
                    self._sentinels = [sentinel, *(each for each in self._sentinels if each != sentinel)]
                    return
                master = fault
            faults.append(master)
        raise StoreUnavailable(self._url, " ".join(dict.fromkeys(faults)))

    def primaries(self) -> Sequence[Node]:
        return (self.node_of(None),)

    def node_of(self, key: str | None) -> Node:  # noqa: ARG002 - the master has all keys
        if self._master is _NEVER:
            raise StoreUnavailable(self._url, "its sentinels have not been asked yet.")
        return self._master

    def moved(self, slot: int, node: Node) -> None:
        """There are no slots."""

    def doubt(self) -> None:
        self._is_doubted = True

    def _named(self, answers: list[Any] | StoreUnavailable, sentinel: Node) -> Node | str:
        """The master as a sentinel names it, or what is wrong."""
        if isinstance(answers, StoreUnavailable):
            return answers.reason
        match answers[0]:
            case [str(host), port]:
                return Node(host, int(port))
            case None:
                return f"the sentinel {sentinel} knows no master {self._name!r}."
            case Refusal(code="NOAUTH" | "WRONGPASS"):
                return f"the sentinel {sentinel} wants a password: ?sentinel_password=... in the URL."
            case Refusal() as refusal:
                return f"the sentinel {sentinel} answers: {one_line(refusal.text)}."
            case other:
                return f"the sentinel {sentinel} answers: {one_line(other)}."


def _fault(answers: list[Any] | StoreUnavailable, master: Node) -> str | None:
    """Why a server that is said to be the master cannot be taken for it."""
    if isinstance(answers, StoreUnavailable):
        return answers.reason
    match answers[0]:
        case Refusal(code="NOPERM") | ["master", *_]:
            return None
        case Refusal() as refusal:
            return refusal.reason or f"{master} answers: {one_line(refusal.text)}."
        case _:
            return f"{master} is to be the master, but is none yet."
