"""Refusal: an error as a server answers it, and what the caller gets to know of it.

A server that refuses has done nothing, so that sending the same again is safe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from goose_queues.errors import QueueError, StoreUnavailable
from goose_queues.redact import one_line
from goose_queues.stores.redis.errors import Refused

_REASONS: Final = {
    "BUSY": "a script keeps it from doing anything else.",
    "CLUSTERDOWN": "the cluster is down: some of its slots have no primary.",
    "LOADING": "it is still loading its data.",
    "MASTERDOWN": "it is a replica that has lost its primary.",
    "MISCONF": "it cannot save its data to the disk, and takes no writes until it can.",
    "MOVED": "it is one node of a cluster: write redis+cluster://.",
    "NOAUTH": "it wants a password: redis://user:password@host.",
    "NOREPLICAS": "too few of its replicas are connected (min-replicas-to-write).",
    "OOM": "its maxmemory is reached: give it more, or delete what is not needed.",
    "READONLY": "it takes no writes: name the primary server, not a replica.",
    "TRYAGAIN": "the slot is on its way to another node of the cluster.",
    "WRONGPASS": "it does not accept the user and password of the URL.",
}
# A script's error has the command's own inside, behind words that differ from version to version.
_CODE: Final = re.compile(r"(?:\A|[\s:]-)([A-Z]+)(?=\s|\Z)")
_FULL: Final = "ERR max number of clients reached"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a server says instead of an answer."""

    text: str

    @property
    def code(self) -> str:
        """Its first word."""
        return self.text.partition(" ")[0]

    @property
    def reason(self) -> str | None:
        """Why the server does not work now; None where it does, and what was sent is wrong."""
        if self.text.startswith(_FULL):
            return "it has as many clients as it takes (maxclients)."
        if self.code == "NOPERM":
            return f"its user may not do this: {one_line(self.text.removeprefix('NOPERM '))}."
        return next((_REASONS[code] for code in _CODE.findall(self.text) if code in _REASONS), None)

    @property
    def is_of_replica(self) -> bool:
        """Whether writes go to another server now."""
        return any(code in ("READONLY", "MASTERDOWN") for code in _CODE.findall(self.text))

    def error(self, url: str) -> QueueError:
        """What the caller gets, with the masked URL in it."""
        reason = self.reason
        return Refused(url, one_line(self.text)) if reason is None else StoreUnavailable(url, reason)
