"""The faults that only this store has, beside those of ``goose_queues.errors``."""

from __future__ import annotations

from goose_queues.errors import QueueError, StoreUnavailable


class AnswerLost(StoreUnavailable):
    """The connection broke or the answer did not come in time, after the command was sent.

    It may have been done, or not.
    """


class Refused(QueueError):
    """A server answered with an error that is no matter of its health: what was sent is wrong."""

    def __init__(self, url: str, text: str) -> None:
        self.url = url
        self.text = text
        """As the server said it: a word in capitals, then a sentence."""
        super().__init__(f"{url} refused: {text}")


class UnsupportedServer(QueueError):
    """The server is too old."""

    def __init__(self, url: str, found: str, needed: str) -> None:
        self.url = url
        self.found = found
        self.needed = needed
        super().__init__(f"{url}: found {found}, need {needed} or newer.")
