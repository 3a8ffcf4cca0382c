"""The sentence that dispatches a chain: ``chain(A(), B(), batch(...)).on_queue("orders")``, each link after the one before.

Made by ``client``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from goose_queues.errors import ChainTooLong, PayloadError
from goose_queues.group import Group
from goose_queues.handle import BatchHandle, ChainHandle, JobHandle
from goose_queues.ids import new_id
from goose_queues.job import Job
from goose_queues.sentence import ALONE, Encoded, Freight, Line, Options, Outbox, Place, of_one

if TYPE_CHECKING:
    from goose_queues.batch import PendingBatch

LONGEST: Final = 1_000
"""Links of a chain."""

Link: TypeAlias = "Job | PendingBatch"


class PendingChain(Group[ChainHandle]):
    """A chain on its way; nothing is stored until it is dispatched or sent, then all of it in one transaction.

    A link starts only after the one before has completed. When one has failed for good or was cancelled, those behind it
    are cancelled. Its options hold for every link, ``delay`` and ``at`` for the first.
    """

    __slots__ = ("_links",)

    _kind: ClassVar[str] = "chain"
    _parts: ClassVar[str] = "links"

    def __init__(self, outbox: Outbox, line: Line, links: Sequence[Link]) -> None:
        super().__init__(outbox, line)
        if not links:
            raise ValueError("chain() takes at least one job")
        if len(links) > LONGEST:
            raise ChainTooLong(LONGEST)
        self._links: list[tuple[str, Encoded] | Group[BatchHandle]] = []
        for index, link in enumerate(links):
            try:
                self._links.append(self._link(link))
            except (PayloadError, TypeError) as error:
                raise of_one(index, error) from error
        self._armed = True

    @property
    def ids(self) -> list[str]:
        """Its jobs, in order; those of its batches too."""
        return [job_id for link in self._links for job_id in (link.ids if isinstance(link, Group) else (link[0],))]

    @property
    def size(self) -> int:
        """Bytes of payload of its own jobs."""
        return sum(link[1].size for link in self._links if not isinstance(link, Group))

    def pack(self, freight: Freight, options: Options, place: Place = ALONE) -> None:
        later = replace(options, delay=None, due_at=None)
        position = 0
        for link in self._links:
            where = Place(self.id, position, place.batch_id, place.batch_role)
            says = later if position else options
            if isinstance(link, Group) and not link.ids and not position:
                # Over as soon as it is stored. As a link it would start the next one, whatever delay that is to have.
                link.pack(freight, link.filled(says))
                continue
            position += 1
            if isinstance(link, Group):
                link.pack(freight, link.filled(says), where)
            else:
                job_id, encoded = link
                freight.jobs.append(self._outbox.record(job_id, encoded, says, where))

    def _link(self, link: object) -> tuple[str, Encoded] | Group[BatchHandle]:
        if not isinstance(link, Group):
            return new_id(), self._outbox.encode(link)
        link.become_part(self._kind)
        return link

    def _refuse_as_part(self) -> None:
        if any(isinstance(link, Group) for link in self._links):
            raise ValueError("a chain inside a batch holds jobs alone, no batches: one level is all there is")

    def _handle(self) -> ChainHandle:
        outbox = self._outbox

        def handle(link: tuple[str, Encoded] | Group[BatchHandle]) -> JobHandle | BatchHandle:
            if isinstance(link, Group):
                return outbox.batch_handle(link.id, link.ids)
            return outbox.handle(link[0])

        return ChainHandle(self.id, tuple(map(handle, self._links)))
