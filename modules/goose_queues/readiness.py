"""What the module's readiness check asks: the parts of those applications that run with it. Filled by the parts themselves."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet


class Checked(Protocol):
    """A part that knows whether it can do its work."""

    async def check(self) -> None:
        """Return when it can, raise when not."""


class Readiness(WeakSet[Checked]):
    """The parts of all running applications of one module."""

    async def check(self) -> None:
        """Return when all of them can do their work; raises what the first says that cannot."""
        for part in list(self):
            await part.check()
