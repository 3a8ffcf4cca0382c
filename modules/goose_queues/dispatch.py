"""The sentences that dispatch jobs, each for itself: ``dispatch(job).delay(60)``, stored when it is awaited or sent.

Made by ``client``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from goose_queues.handle import JobHandle
from goose_queues.ids import new_id
from goose_queues.sentence import Encoded, Freight, Line, Outbox, Sentence, listed


class _Dispatch(Sentence):
    """Some jobs that have nothing to do with one another."""

    __slots__ = ("_encoded", "_ids")

    def __init__(self, outbox: Outbox, line: Line, encoded: Sequence[Encoded]) -> None:
        super().__init__(outbox, line)
        self._encoded = encoded
        self._ids = [new_id() for _ in encoded]

    def _sent_as(self) -> str:
        return listed(self._ids)

    def _freight(self) -> Freight:
        record, options = self._outbox.record, self._options
        return Freight([record(job_id, job, options) for job_id, job in zip(self._ids, self._encoded, strict=True)])

    def _handles(self) -> list[JobHandle]:
        return [self._outbox.handle(job_id) for job_id in self._ids]


class PendingDispatch(_Dispatch):
    """One job on its way; nothing is stored until it is awaited or sent."""

    __slots__ = ()

    def _what(self) -> str:
        return self._encoded[0].cls.__name__

    def __await__(self) -> Generator[Any, None, JobHandle]:
        yield from self._store().__await__()
        return self._handles()[0]

    def send(self) -> JobHandle:
        """Store it from plain ``def`` code and wait until that is done; from any thread but the event loop's.

        Within the transaction of a ``Session`` or ``Connection`` (``using``) it is stored in place.

        Raises:
            RuntimeError: It would block the event loop, has been dispatched already, or nothing is running.
        """
        self._send()
        return self._handles()[0]


class PendingDispatches(_Dispatch):
    """Several jobs on their way, all or nothing; the options hold for each of them."""

    __slots__ = ()

    def _what(self) -> str:
        return f"{len(self._encoded)} jobs"

    def __await__(self) -> Generator[Any, None, list[JobHandle]]:
        yield from self._store().__await__()
        return self._handles()

    def send(self) -> list[JobHandle]:
        """The same as ``PendingDispatch.send``, for all jobs at once."""
        self._send()
        return self._handles()
