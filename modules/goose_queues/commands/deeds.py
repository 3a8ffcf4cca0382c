"""What can be done to jobs from the terminal, and how it is told. Used by ``steering`` and ``bulk``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from goose_queues.client import Client
from goose_queues.record import Status


@dataclass(frozen=True, slots=True)
class Deed:
    """Retrying or cancelling."""

    do: Callable[[Client, str], Awaitable[None]]
    """Raises ``JobNotFound`` and ``JobConflict``."""
    doing: str
    done: str
    statuses: tuple[Status, ...]
    """Those that a filter means which names none, in the order in which they are worked off."""
    question: str
    begun: str | None = None
    """What is said instead of ``done`` of a job that runs, where it has to end first."""

    def outcome(self, status: Status) -> str:
        """What was done to a job of this status."""
        return self.begun if self.begun is not None and status == "processing" else self.done


RETRY: Final = Deed(Client.retry, "retrying", "retried", ("failed",), "Retry them?")
# What is pending first, as it would take the place of what runs.
CANCEL: Final = Deed(
    Client.cancel, "cancelling", "cancelled", ("pending", "processing"), "Cancel them?", begun="told to end"
)
