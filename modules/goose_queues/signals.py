"""What a handler raises to steer its own end; made by ``JobContext``, understood by ``runner`` alone."""

from __future__ import annotations

from datetime import datetime


class RetrySignal(Exception):
    """The attempt has failed; ``after`` seconds later comes the next one, if a retry is left."""

    def __init__(self, after: float | None) -> None:
        self.after = after
        super().__init__("the handler asked for a retry")


class SnoozeSignal(Exception):
    """Run the job again later and refund this attempt; exactly one of ``delay`` and ``until`` is set."""

    def __init__(self, *, delay: float | None = None, until: datetime | None = None) -> None:
        self.delay = delay
        self.until = until
        super().__init__("the handler asked to be called later")


class CancelSignal(Exception):
    """The job is not to be done any more."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
