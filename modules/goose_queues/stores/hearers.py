"""Who wants to hear of new work in this process; each store's ``wakeup`` has one of these."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

log = logging.getLogger("goose_queues.wakeup")

Hearer: TypeAlias = Callable[[frozenset[str]], None]


class Hearers:
    """Calls everyone who listens; one who fails harms nobody.

    Args:
        begin: Called when somebody listens.
        end: Called when nobody does any more.
    """

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._begin = begin
        self._end = end
        self._hearers: dict[object, Hearer] = {}

    def __bool__(self) -> bool:
        return bool(self._hearers)

    def add(self, hearer: Hearer) -> Callable[[], None]:
        """Call ``hearer`` from now on; return what ends that."""
        key = object()
        self._hearers[key] = hearer
        self._begin()

        def remove() -> None:
            self._hearers.pop(key, None)
            if not self._hearers:
                self._end()

        return remove

    def tell(self, queues: frozenset[str]) -> None:
        """These may have something new to claim; from any thread."""
        for hearer in list(self._hearers.values()) if queues else ():
            try:
                hearer(queues)
            except Exception:
                log.exception("A listener for new jobs failed")
