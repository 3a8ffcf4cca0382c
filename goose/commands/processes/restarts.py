"""When a process is started again after one has died. Asked by ``keeper``; pure."""

from __future__ import annotations

from typing import Final

FIRST: Final = 0.5
LAST: Final = 30.0
"""Seconds before a process is started again: doubling from the first to the last."""
LAST_AFTER_KILL: Final = 2.0
"""The same after one that was ended from outside, which says little of how the next one fares."""
STEADY: Final = 2.0
"""Seconds at work after which a death counts as the first one."""
SOON: Final = 10.0
"""Seconds at work before which no process should have grown too large: another is started after a wait, as after a death."""
GIVE_UP: Final = 10
"""Starts in a row that may fail, one alone at a time, while no process is at work."""


class Pause:
    """The wait before the next start; longer with each death that comes soon after a start."""

    def __init__(self) -> None:
        self.deaths = 0
        """In a row."""

    def after(self, up: float | None, *, killed: bool = False) -> float:
        """Seconds to wait after the death of a process.

        Args:
            up: How many seconds it was at work; None: it could not start.
            killed: Whether somebody else ended it.
        """
        self.deaths = 1 if up is not None and up >= STEADY else self.deaths + 1
        return min(FIRST * 2.0 ** (self.deaths - 1), LAST_AFTER_KILL if killed else LAST)
