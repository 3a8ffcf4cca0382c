"""The sentence that dispatches a batch: ``batch(jobs).then(Done())``, jobs that are counted together.

Made by ``client``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, Self, TypeAlias

from goose_queues.chain import PendingChain
from goose_queues.errors import BatchTooLarge, PayloadError
from goose_queues.group import Group
from goose_queues.handle import BatchHandle
from goose_queues.ids import new_id
from goose_queues.job import Job
from goose_queues.record import BatchRole, NewBatch
from goose_queues.sentence import ALONE, Encoded, Freight, Line, Options, Outbox, Place, of_one

MOST_MEMBERS: Final = 100_000
"""Jobs of one batch, those of chains in it included."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of payload, in all members together."""

Member: TypeAlias = Job | PendingChain


class PendingBatch(Group[BatchHandle]):
    """A batch on its way; nothing is stored until it is dispatched or sent, then all of it in one transaction.

    Its options hold for every member; callbacks go by the options of their own classes.
    """

    __slots__ = ("_callbacks", "_members", "_room", "_total")

    _kind: ClassVar[str] = "batch"
    _parts: ClassVar[str] = "members"

    def __init__(self, outbox: Outbox, line: Line, members: Iterable[Member]) -> None:
        super().__init__(outbox, line)
        self._members: list[tuple[str, Encoded] | PendingChain] = []
        self._callbacks: dict[BatchRole, tuple[str, Encoded]] = {}
        self._total = 0
        self._room = MOST_BYTES
        for member in members:
            try:
                self._add(member)
            except (PayloadError, TypeError) as error:
                raise of_one(len(self._members), error) from error
        self._armed = True

    @property
    def ids(self) -> list[str]:
        """Its jobs, in order, without callbacks; those of its chains too."""
        return [
            job_id
            for member in self._members
            for job_id in (member.ids if isinstance(member, PendingChain) else (member[0],))
        ]

    def then(self, job: Job) -> Self:
        """Have this job dispatched once, when all members have completed.

        Raises:
            BatchError: The batch has been dispatched.
            ValueError: There is one already.
        """
        return self._call_back("then", job)

    def catch(self, job: Job) -> Self:
        """Have this job dispatched once, when the first member has failed for good. Raises as ``then`` does."""
        return self._call_back("catch", job)

    def finally_(self, job: Job) -> Self:
        """Have this job dispatched once, when no member is left to run. Raises as ``then`` does."""
        return self._call_back("finally", job)

    def pack(self, freight: Freight, options: Options, place: Place = ALONE) -> None:
        here = Place(place.chain_id, place.position, self.id, "member")
        for member in self._members:
            if isinstance(member, PendingChain):
                member.pack(freight, member.filled(options), here)
            else:
                job_id, encoded = member
                freight.jobs.append(self._outbox.record(job_id, encoded, options, here))
        meta = Options(meta=options.meta)
        callbacks = tuple(
            self._outbox.record(job_id, encoded, meta, Place(batch_id=self.id, batch_role=role))
            for role, (job_id, encoded) in self._callbacks.items()
        )
        freight.batches.append(NewBatch(self.id, self._total, callbacks, place.chain_id, place.position))

    def _add(self, member: object) -> None:
        if isinstance(member, Group):
            member.become_part(self._kind)
        if isinstance(member, PendingChain):
            self._members.append(member)
            self._count(len(member.ids), member.size)
        else:
            encoded = self._outbox.encode(member)
            self._members.append((new_id(), encoded))
            self._count(1, encoded.size)

    def _count(self, jobs: int, size: int) -> None:
        self._total += jobs
        self._room -= size
        if self._total > MOST_MEMBERS:
            raise BatchTooLarge("members", self._total, MOST_MEMBERS)
        if self._room < 0:
            raise BatchTooLarge("bytes of payload", MOST_BYTES - self._room, MOST_BYTES)

    def _call_back(self, role: BatchRole, job: Job) -> Self:
        with self._changing():
            if role in self._callbacks:
                word = "finally_" if role == "finally" else role
                raise ValueError(f"{word}() was given already: a batch calls one job; let that one dispatch others")
            self._callbacks[role] = new_id(), self._outbox.encode(job)
        return self

    def _refuse_as_part(self) -> None:
        if self._options.delay is not None or self._options.due_at is not None:
            raise ValueError("delay() or at() of a batch inside a chain: it starts when the link before has completed")
        if any(isinstance(member, PendingChain) for member in self._members):
            raise ValueError("a batch inside a chain holds jobs alone, no chains: one level is all there is")

    def _handle(self) -> BatchHandle:
        return self._outbox.batch_handle(self.id, self.ids)
