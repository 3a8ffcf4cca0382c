"""What chains and batches have in common: they end with ``.dispatch()``, and one may be a part of the other.

Used by ``chain`` and ``batch`` alone.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Generic, TypeVar

from goose_queues.errors import BatchError
from goose_queues.ids import new_id
from goose_queues.sentence import ALONE, Freight, Line, Options, Outbox, Place, Sentence

H = TypeVar("H")


class Group(Sentence, Generic[H]):
    """Several jobs that belong together; dispatched, they are watched by an ``H``."""

    __slots__ = ("id",)

    _ending: ClassVar[str] = "end it with await .dispatch(), or with .send()"
    _kind: ClassVar[str]
    _parts: ClassVar[str]
    """What it calls its jobs."""

    def __init__(self, outbox: Outbox, line: Line) -> None:
        super().__init__(outbox, line)
        self.id = new_id()
        """A UUIDv7, known before anything is stored."""
        # Not before its parts are found fit: one that is refused is not missed.
        self._armed = False

    async def dispatch(self) -> H:
        """Store all of it; a batch without members is over at once and calls back.

        Raises:
            StoreUnavailable: The store does not answer; nothing is stored.
            RuntimeError: It has been dispatched already, or nothing is running.
        """
        await self._store()
        return self._handle()

    def send(self) -> H:
        """The same from plain ``def`` code; from any thread but the event loop's.

        Within the transaction of a ``Session`` or ``Connection`` (``using``) it is stored in place.
        """
        self._send()
        return self._handle()

    @property
    @abstractmethod
    def ids(self) -> list[str]:
        """Its jobs, in order."""

    @abstractmethod
    def pack(self, freight: Freight, options: Options, place: Place = ALONE) -> None:
        """Add all of it to what is stored.

        Args:
            freight: Where to.
            options: Its own, filled up by ``filled``.
            place: Where it stands in the sentence around it.
        """

    def filled(self, outer: Options) -> Options:
        """Its own options, and those of the sentence around it where it has none."""
        return self._options.within(outer)

    def become_part(self, outer: str) -> None:
        """From here on it is stored with the sentence around it, a chain or a batch.

        Raises:
            BatchError: It is a part of one already, or has been dispatched.
            TypeError: It is of the same kind as that.
            ValueError: It has options that only the outermost can have, or parts that are no jobs.
        """
        self._refuse_again()
        self._armed = False
        if outer == self._kind:
            raise TypeError(f"a {outer} inside a {outer}: pass its jobs as {self._parts}")
        if self._using:
            raise ValueError(f"using() of a {self._kind} inside a {outer}: say it of the {outer}")
        self._refuse_as_part()
        self._sent = f"a part of a {outer}"

    @abstractmethod
    def _handle(self) -> H:
        """What it is watched by once it is stored."""

    @abstractmethod
    def _refuse_as_part(self) -> None:
        """Raise ``ValueError`` where it cannot stand inside another."""

    def _refuse_again(self) -> None:
        if self._sent is not None:
            raise BatchError(f"this {self._kind} was already dispatched as {self._sent}")

    def _what(self) -> str:
        count = len(self.ids)
        return f"a {self._kind} of {count} job{'' if count == 1 else 's'}"

    def _sent_as(self) -> str:
        return self.id

    def _freight(self) -> Freight:
        freight = Freight()
        self.pack(freight, self._options)
        return freight
