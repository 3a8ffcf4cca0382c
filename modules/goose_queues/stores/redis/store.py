"""RedisStore: the queue's store on Redis: one server, a master behind sentinels, or a cluster.

Made by ``module``. Every method runs scripts of ``scripts/``, each atomic on the one queue that it is about, and hands over
what they bring about in other queues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NoReturn
from uuid import uuid4

from goose_queues.clock import Clock
from goose_queues.errors import ForeignSession, JobConflict, JobExists, JobNotFound, QueueError, StoreUnavailable
from goose_queues.ids import new_id
from goose_queues.pausing import reached
from goose_queues.record import (
    BatchProgress,
    CancelRequest,
    Claim,
    Claimed,
    JobFilter,
    JobRecord,
    NewBatch,
    NewJob,
    Page,
    Pruned,
    Purged,
    QueueStats,
    Rescued,
    Settlement,
)
from goose_queues.stores.cursor import cursor_key, cursor_text
from goose_queues.stores.gathering import Gathering
from goose_queues.stores.moment import span
from goose_queues.stores.outgoing import Outgoing
from goose_queues.stores.redis import listing
from goose_queues.stores.redis.answers import batch_progress, in_rows, queue_stats
from goose_queues.stores.redis.boot import refuse
from goose_queues.stores.redis.errors import AnswerLost
from goose_queues.stores.redis.facts import STATUSES, claimed_job, job_record
from goose_queues.stores.redis.handover import deliver, hand_over, sweep
from goose_queues.stores.redis.outcomes import outcome_fields
from goose_queues.stores.redis.parcels import Dispatch
from goose_queues.stores.redis.pruning import prune
from goose_queues.stores.redis.rescuing import rescue
from goose_queues.stores.redis.servers import Servers
from goose_queues.stores.redis.slots import Slots
from goose_queues.stores.redis.steps import Arg
from goose_queues.stores.redis.wakeup import Wakeup
from goose_queues.stores.sessions import as_session, url_of
from goose_queues.stores.text import is_id, plain
from goose_sql import Unit, open_units

LONELY: Final = 2
"""A job with so many deaths is claimed alone: if it kills its worker again, no neighbour is hit."""
PROMOTED: Final = 5_000
"""Jobs at most that one claim makes ready because their time has come; the next claim goes on."""
CLAIMED: Final = 8
"""Fields of a claimed job, as ``job.hand_out`` gives them."""


class RedisStore:
    """The ``Store`` protocol on Redis.

    Args:
        servers: Where the jobs are; the store opens and closes them.
        clock: Its offset is added to the server's own time.
        prefix: What the names of all keys begin with.
        poll_interval: How often each worker claims without having been told, in seconds.
    """

    def __init__(self, servers: Servers, clock: Clock, *, prefix: str = "goose_", poll_interval: float = 5.0) -> None:
        self._servers = servers
        self._slots = Slots(servers, prefix, clock)
        self._wakeup = Wakeup(self._slots, poll_interval)
        self._gatherings: dict[str, Gathering] = {}
        self._outgoing = Outgoing(self.insert)
        self._in_doubt: set[tuple[str, str]] = set()
        """Id and token of outcomes that may have been written although their answer was lost."""

    async def open(self) -> None:
        """Connect, and refuse what cannot be worked with."""
        await self._servers.open()
        try:
            await refuse(self._servers, self._slots.prefix)
            await self._slots.look()
        except BaseException:
            await self._servers.close()
            raise
        self._wakeup.open()

    async def close(self) -> None:
        """Send what still waits for being sent, and let go of everything."""
        await self._outgoing.sent()
        for gathering in self._gatherings.values():
            await gathering.stored()
        await self._wakeup.close()
        await self._servers.close()

    async def check(self) -> None:
        """Return when the server answers."""
        await self._servers.command("HLEN", self._slots.names)

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Tell ``listener`` of queues that may have something new; return what ends that."""
        return self._wakeup.subscribe(listener)

    def joinable(self) -> Unit | None:
        """The innermost open transaction on a database: what is dispatched in it is sent after its commit."""
        return next((unit for unit in reversed(open_units()) if unit.in_transaction), None)

    def join(self, session: object) -> None:
        """None stands for no transaction at all.

        Raises:
            ForeignSession: A session cannot hold what Redis stores.
        """
        if session is not None:
            raise ForeignSession(url_of(as_session(session)), self._servers.url)

    async def insert(
        self, jobs: Sequence[NewJob], *, batches: Sequence[NewBatch] = (), within: object | None = None
    ) -> None:
        """Store all of it or nothing; within a transaction it is sent right after its commit."""
        if isinstance(within, Unit):
            self._outgoing.after_commit_of(within, jobs, batches)
            return
        if not jobs and not batches:
            return
        dispatch = Dispatch(jobs, batches)
        if dispatch.is_plain:
            await self._gathering(dispatch.home).insert(jobs, batches)
        else:
            await self._store(jobs, batches)

    def insert_blocking(
        self,
        jobs: Sequence[NewJob],  # noqa: ARG002 - the protocol's own signature
        *,
        batches: Sequence[NewBatch] = (),  # noqa: ARG002
        within: object,
    ) -> NoReturn:
        """No session can be joined, so nothing comes here."""
        raise ForeignSession(url_of(as_session(within)), self._servers.url)

    async def claim(self, claim: Claim) -> Claimed:
        """Take due jobs of one queue under new leases."""
        self._wakeup.claims(claim.queue)
        await self._slots.know([claim.queue])
        token = f"{claim.queue}:{uuid4()}"
        args: list[Arg] = [
            claim.limit,
            span(claim.lease),
            token,
            claim.worker,
            "" if claim.slots is None else claim.slots,
            "" if claim.fleet_limit is None else claim.fleet_limit,
            LONELY,
            PROMOTED,
            *sorted(claim.names),
        ]
        try:
            next_due, *found = await self._slots.run(claim.queue, "claim", *args)
        except AnswerLost:
            # What it has taken is this process's, which does not know of it.
            next_due, *found = await self._slots.run(claim.queue, "claimed", token)
            if not found:
                raise
        jobs = tuple(claimed_job(claim.queue, token, fields) for fields in in_rows(found, CLAIMED))
        return Claimed(jobs, None if next_due is None else int(next_due) / 1_000_000)

    def extend(
        self,
        tokens: Mapping[str, str],
        lease: float,
        *,
        blameless: frozenset[str] = frozenset(),
        limited: frozenset[str] = frozenset(),
    ) -> frozenset[str]:
        """Renew leases, by connections of the thread's own."""
        lost: set[str] = set()
        for queue, rows in _by_queue(tokens, blameless, limited).items():
            args = [field for row in rows for field in row]
            lost |= set(self._slots.run_blocking(queue, "extend", span(lease), *args, timeout=lease / 3))
        return frozenset(lost)

    async def settle(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        """Write outcomes, those of each queue in one script."""
        by_queue: dict[str, list[Settlement]] = {}
        for settlement in settlements:
            by_queue.setdefault(settlement.claimed.queue, []).append(settlement)
        answers = await asyncio.gather(
            *(self._settle(queue, pack) for queue, pack in by_queue.items()), return_exceptions=True
        )
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if failed:
            # All of them will be sent again: those that have been written are not lost then.
            self._in_doubt |= {(it.claimed.id, it.claimed.token) for it in settlements}
            raise failed[0]
        self._in_doubt -= {(it.claimed.id, it.claimed.token) for it in settlements}
        return frozenset(job_id for lost in answers if isinstance(lost, frozenset) for job_id in lost)

    async def rescue(self, limit: int, max_deaths: int) -> Rescued:
        """Give jobs of dead workers back, and hand over what a crash has left."""
        reached("rescue.selected")
        rescued = await rescue(self._slots, limit, max_deaths)
        self._wakeup.tell(rescued.queues)
        return rescued

    async def renew(self, job_id: str, token: str, lease: float, *, limited: bool = False) -> bool:
        """Renew one lease; whether it still held."""
        lost = await self._slots.run(_queue_of(token), "extend", span(lease), job_id, token, "l" if limited else "")
        return not lost

    async def progress(self, job_id: str, token: str, progress: str) -> bool:
        """Keep what a running attempt tells of itself."""
        return bool(await self._slots.run(_queue_of(token), "progress", job_id, token, progress))

    async def prune(self, retention: float, limit: int, cursor: str | None = None) -> Pruned:
        """Delete a chunk of old jobs; behind the last one, old batches."""
        return await prune(self._slots, retention, limit, cursor)

    async def cancel(self, job_id: str, reason: str) -> None:
        """End a pending job, or ask the worker of a running one."""
        queue = await self._find(job_id)
        state, has_news, sent = await self._slots.run(queue, "cancel", job_id, plain(reason) or "")
        if state is None:
            raise JobNotFound(job_id)
        if state in STATUSES:
            raise JobConflict(job_id, STATUSES[state], "only a job that is pending or runs can be cancelled")
        news = await hand_over(self._slots, queue, sent)
        self._wakeup.tell(news | {queue} if has_news else news)

    async def cancel_requests(self) -> Sequence[CancelRequest]:
        """What was asked of the workers; while messages are heard, nothing is asked unless somebody has told of it."""
        if not self._wakeup.may_be_asked():
            return ()
        answers = await self._slots.run_on_all(await self._slots.look(), "cancel_requests")
        return [CancelRequest(*fields) for answer in answers.values() for fields in in_rows(answer, 3)]

    async def retry(self, job_id: str) -> None:
        """Put a failed or cancelled job back."""
        source = queue = await self._find(job_id)
        answer = await self._slots.run(queue, "retry", job_id)
        if answer[0] == "elsewhere":
            source, state, chain, position, batch = answer[1:]
            # Its home has to know of its end before it can begin anew.
            await sweep(self._slots, queue, source)
            answer = await self._slots.run(source, "reopen", job_id, queue, state, chain, position, batch)
        match answer:
            case ["done", sent]:
                self._wakeup.tell(await hand_over(self._slots, source, sent) | {queue})
            case ["first", first, state]:
                reason = f"{first}, before it in its chain, is {STATUSES[state]}: retry that one, and this one follows"
                raise await self._conflict(job_id, queue, reason)
            case ["not"]:
                raise await self._conflict(job_id, queue, "only a failed or cancelled job can be retried")
            case _:
                raise JobNotFound(job_id)

    async def pause(self, queue: str) -> None:
        """Let no claim take anything from a queue."""
        await self._slots.know([queue])
        await self._slots.run(queue, "pause", 1)

    async def resume(self, queue: str) -> None:
        """The end of ``pause``."""
        await self._slots.know([queue])
        await self._slots.run(queue, "pause", 0)
        self._wakeup.tell(frozenset({queue}))

    async def purge(self, queue: str, limit: int, cursor: str | None = None) -> Purged:
        """Delete what is pending in a queue."""
        began, last = ("", "") if cursor is None else map(str, cursor_key(cursor))
        deleted, began, last, has_news, sent = await self._slots.run(queue, "purge", limit, began, last)
        news = await hand_over(self._slots, queue, sent)
        self._wakeup.tell(news | {queue} if has_news else news)
        return Purged(deleted, cursor_text([began, last]) if last else None)

    async def get(self, job_id: str) -> JobRecord | None:
        """One job, whole."""
        try:
            queue = await self._find(job_id)
        except JobNotFound:
            return None
        found = await self._slots.run(queue, "get", job_id)
        return job_record(queue, found[0]) if found else None

    async def stats(self) -> Mapping[str, QueueStats]:
        """Counts of every queue."""
        answers = await self._slots.run_on_all(await self._slots.look(), "stats")
        found = {queue: queue_stats(answer) for queue, answer in sorted(answers.items())}
        return {queue: stats for queue, stats in found.items() if stats is not None}

    async def jobs(self, wanted: JobFilter, limit: int, cursor: str | None = None) -> Page:
        """A page of a listing."""
        return await listing.page(self._slots, wanted, limit, cursor)

    async def batch(self, batch_id: str) -> BatchProgress | None:
        """How far a batch is."""
        if not _can_be_id(batch_id):
            return None
        answers = await self._slots.run_on_all(await self._slots.look(), "batch", batch_id)
        return batch_progress(batch_id, list(answers.values()))

    def _gathering(self, queue: str) -> Gathering:
        """Dispatches to one queue at the same moment go together."""
        if queue not in self._gatherings:
            self._gatherings[queue] = Gathering(self._store)
        return self._gatherings[queue]

    async def _store(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch]) -> None:
        """Store all of it or nothing; where the answer is lost, a second try finds out whether the first came through."""
        dispatch = Dispatch(jobs, batches)
        await self._slots.know(dispatch.queues)
        if dispatch.is_large:
            await self._store_in_pieces(dispatch)
            return
        home = dispatch.home
        name, args = ("add", dispatch.fields()) if dispatch.is_plain else ("insert", dispatch.args())
        sent = await self._tried(home, name, *args)
        if sent == "exists":
            raise JobExists(self._servers.url)
        self._wakeup.tell(dispatch.news | await hand_over(self._slots, home, sent))

    async def _store_in_pieces(self, dispatch: Dispatch) -> None:
        """The same for many jobs: piece by piece to their home, which takes all of them at once, then on to their queues."""
        name, home, pieces = new_id(), dispatch.home, 0
        for piece in dispatch.pieces():
            pieces += 1
            if await self._tried(home, "stage", name, *piece) == "exists":
                raise JobExists(self._servers.url)
        targets = await self._tried(home, "commit", name, pieces, dispatch.batches_text())
        if targets == "lost":
            raise StoreUnavailable(self._servers.url, "it has lost a part of what was sent to it: dispatch it again.")
        for target in targets:
            await deliver(self._slots, home, target)
        self._wakeup.tell(dispatch.news)

    async def _tried(self, queue: str, name: str, *args: Arg) -> Any:
        """Run a script that stores; where its answer is lost once more, which its first argument tells it."""
        try:
            return await self._slots.run(queue, name, 0, *args)
        except AnswerLost:
            return await self._slots.run(queue, name, 1, *args)

    async def _settle(self, queue: str, settlements: Sequence[Settlement]) -> frozenset[str]:
        args: list[Arg] = []
        for it in settlements:
            holder = (it.claimed.id, it.claimed.token)
            state, when, flags, *texts = outcome_fields(it.outcome)
            args += (*holder, state, when, flags + ("t" if holder in self._in_doubt else ""), *texts)
        lost, has_news, sent = await self._slots.run(queue, "settle", *args)
        news = await hand_over(self._slots, queue, sent)
        self._wakeup.tell(news | {queue} if has_news else news)
        return frozenset(lost)

    async def _find(self, job_id: str) -> str:
        """The queue of a job: first among those that are known, then among all.

        Raises:
            JobNotFound: There is none of this id.
        """
        if _can_be_id(job_id):
            known = self._slots.known
            found = await self._having(known, job_id)
            if found is None:
                found = await self._having(set(await self._slots.look()).difference(known), job_id)
            if found is not None:
                return found
        raise JobNotFound(job_id)

    async def _having(self, queues: Collection[str], job_id: str) -> str | None:
        answers = await self._slots.run_on_all(sorted(queues), "has", job_id) if queues else {}
        return next((queue for queue, has_it in answers.items() if has_it), None)

    async def _conflict(self, job_id: str, queue: str, reason: str) -> QueueError:
        found = await self._slots.run(queue, "get", job_id)
        return JobConflict(job_id, job_record(queue, found[0]).status, reason) if found else JobNotFound(job_id)


def _by_queue(
    tokens: Mapping[str, str], blameless: frozenset[str], limited: frozenset[str]
) -> Mapping[str, list[tuple[str, str, str]]]:
    """Id, token and flags of each job, by its queue."""
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for job_id, token in tokens.items():
        flags = ("b" if job_id in blameless else "") + ("l" if job_id in limited else "")
        rows.setdefault(_queue_of(token), []).append((job_id, token, flags))
    return rows


def _queue_of(token: str) -> str:
    """The queue in which a lease is."""
    return token.partition(":")[0]


def _can_be_id(text: str) -> bool:
    """Whether a job or batch can have this id; the other fields of the data have more than one line."""
    return bool(text) and is_id(text) and "\n" not in text
