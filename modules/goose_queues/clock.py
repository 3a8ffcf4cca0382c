"""What time it is for the queue: the system's clock plus an offset that only tests move.

A store adds the same ``offset`` to its own clock in every statement, so that moving it moves what is due.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """The queue's time; one for each queues module."""

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds that the queue's time is ahead of the system's; read by the store in every statement."""

    def now(self) -> datetime:
        """The time in this process, aware, in UTC; what is due and what has expired is the store's to say."""
        return datetime.now(UTC) + timedelta(seconds=self.offset)
