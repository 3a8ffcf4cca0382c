"""Bugs of the kind that queues have had, each a change to our real code; ``plant`` makes one in this process.

``test_checker`` shows that the checker sees each of them in what the processes do, and nothing without it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, bindparam, literal_column, select, text

from goose_queues.record import Claim, Claimed, Completed, Failed, Rescued, Settlement
from goose_queues.stores.moment import span
from goose_queues.stores.sql import claim, insert, lease, settle, store
from goose_queues.stores.sql.advance import Advance
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.store import SqlStore
from goose_queues.stores.sql.tables import PROCESSING, word
from goose_queues.supervisor import Supervisor
from ledger import Ledger
from waiting import wait_until

_SOON: Final = 0.005
"""Seconds between the two halves of what should have been one step."""


def plant(bug: str) -> None:
    """Change the code in this process; "" changes nothing."""
    if bug:
        BUGS[bug]()


def delete_on_claim() -> None:
    """Who claims a job takes it out of the store."""
    _after_claim("DELETE FROM goose_jobs WHERE id = :id")


def complete_on_claim() -> None:
    """Who claims a job says that it is done."""
    _after_claim("UPDATE goose_jobs SET state = 'completed', finished_at = started_at, token = NULL WHERE id = :id")


def count_attempts_on_failure() -> None:
    """The attempt is counted when its outcome is written, not when it begins."""
    _after_claim("UPDATE goose_jobs SET attempts = attempts - 1 WHERE id = :id")
    settle_all = settle.settle

    def settle_and_count(connection: Connection, layout: Layout, now: int, settlements: Sequence[Settlement]) -> Any:
        for one in settlements:
            connection.execute(
                text("UPDATE goose_jobs SET attempts = attempts + 1 WHERE id = :id"), {"id": one.claimed.id}
            )
        return settle_all(connection, layout, now, settlements)

    store.settle = settle_and_count


def claim_without_a_lock() -> None:
    """What is free is looked up first and taken later, whoever has taken it meanwhile."""
    claim_now = SqlStore.claim

    async def look_then_claim(self: SqlStore, request: Claim) -> Claimed:
        def look(connection: Connection) -> list[str]:
            free = "SELECT id FROM goose_jobs WHERE state = 'ready' AND queue = :queue ORDER BY due_at LIMIT :limit"
            return list(connection.scalars(text(free), {"queue": request.queue, "limit": request.limit}))

        def take(connection: Connection) -> None:
            for job in found:
                connection.execute(text("UPDATE goose_jobs SET state = 'ready' WHERE id = :id"), {"id": job})

        found = await self._database.read(look)
        await asyncio.sleep(_SOON)
        if found:
            await self._database.write(take)
        return await claim_now(self, request)

    SqlStore.claim = look_then_claim  # type: ignore[method-assign]


def settle_unfenced() -> None:
    """An outcome is written whoever holds the job."""
    settle.held = lambda layout, given=None: (
        layout.tables.jobs.c.id == (bindparam("of_id") if given is None else given["of_id"]),
    )


def rescue_fenced() -> None:
    """No bug: expired leases are looked up first and given back later, but only where they are what was seen."""
    _rescue_in_two_steps(fenced=True)


def rescue_unfenced() -> None:
    """The same, whatever has become of them meanwhile."""
    _rescue_in_two_steps(fenced=False)


def rescue_by_start() -> None:
    """A job is taken for dead when it has run for a whole lease, whether its worker says that it lives or not."""
    rescue = store.rescue
    seconds = float(os.environ["SHORT_LEASE"])

    def rescue_started(connection: Connection, layout: Layout, now: int, limit: int, max_deaths: int) -> Rescued:
        old = text("UPDATE goose_jobs SET lease_until = 0 WHERE state = 'processing' AND started_at <= :since")
        connection.execute(old, {"since": now - span(seconds)})
        return rescue(connection, layout, now, limit, max_deaths)

    store.rescue = rescue_started


def never_extend() -> None:
    """The heartbeat does nothing."""
    SqlStore.extend = lambda *_, **__: frozenset()  # type: ignore[method-assign,assignment]


def lease_by_own_clock() -> None:
    """The end of a lease is reckoned by the worker's clock, which is a minute slow."""
    claim.span = lease.span = lambda seconds: span(seconds - 60)


def identity_of_host() -> None:
    """A worker is known by its host, and takes back what its host had when it starts."""
    run = Supervisor.on_run

    async def take_back_and_run(self: Any) -> None:
        def take_back(connection: Connection) -> None:
            mine = "UPDATE goose_jobs SET state = 'ready', token = NULL WHERE state = 'processing' AND worker = :me"
            connection.execute(text(mine), {"me": self.identity})

        self._workshop.identity = self.identity = socket.gethostname()
        await self.store.open()
        await self.store._database.write(take_back)
        await run(self)

    Supervisor.on_run = take_back_and_run  # type: ignore[method-assign]


def due_in_whole_seconds() -> None:
    """A due time loses what is behind its seconds."""
    due_exactly = insert._due
    insert._due = lambda job, now: due_exactly(job, now) // 1_000_000 * 1_000_000


def retry_at_once() -> None:
    """A failed attempt is followed by the next without a wait."""
    settle.span = lambda _: 0


def acknowledge_before_commit() -> None:
    """A dispatch returns before it is stored."""
    insert_now = SqlStore.insert
    under_way: set[asyncio.Task[None]] = set()

    async def insert_later(self: SqlStore, *jobs: Any, **options: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(1)
            await insert_now(self, *jobs, **options)

        under_way.add(asyncio.ensure_future(later()))

    SqlStore.insert = insert_later  # type: ignore[method-assign]


def limit_in_memory() -> None:
    """Each process counts its own jobs against the limit of the fleet."""

    def free_here(connection: Connection, layout: Layout, now: int, request: Claim) -> int:
        if request.fleet_limit is None:
            return request.limit
        jobs = layout.tables.jobs
        mine = (
            select(literal_column("count(*)"))
            .select_from(jobs)
            .where(jobs.c.state == word(PROCESSING), jobs.c.queue == request.queue, jobs.c.worker == request.worker)
        )
        return min(request.limit, request.fleet_limit - (connection.scalar(mine) or 0))

    claim._free = free_here


def count_batches_by_hand() -> None:
    """How many members of a batch are over is read, added to, and written back, in more than one step."""
    settle_now = SqlStore.settle
    over: dict[str, int] = {}
    making = text("CREATE TABLE IF NOT EXISTS counted (batch TEXT PRIMARY KEY, jobs INTEGER)")
    counting = text("SELECT jobs FROM counted WHERE batch = :batch")
    writing = text("INSERT OR REPLACE INTO counted VALUES (:batch, :jobs)")

    async def read_then_settle(self: SqlStore, settlements: Sequence[Settlement]) -> frozenset[str]:
        members = Counter(
            str(one.claimed.batch_id)
            for one in settlements
            if one.claimed.batch_role == "member" and isinstance(one.outcome, Completed | Failed)
        )
        await self._database.write(lambda it: it.execute(making).close())
        for batch, jobs in members.items():
            before = await self._database.read(lambda it, of=batch: it.scalar(counting, {"batch": of}))
            over[batch] = jobs + (before or 0)
        await asyncio.sleep(_SOON)
        return await settle_now(self, settlements)

    def judge_by_count(self: Advance, batch_id: str, **_: bool) -> None:
        self.connection.execute(writing, {"batch": batch_id, "jobs": over[batch_id]})
        batch = self._batch(batch_id)
        if batch is not None and over[batch_id] >= batch.total:
            self._end(batch)

    SqlStore.settle = read_then_settle  # type: ignore[method-assign]
    Advance.judge = judge_by_count  # type: ignore[method-assign,assignment]


def release_before_settling() -> None:
    """The next link is let go in a transaction of its own, before the one that writes what lets it go."""
    settle_now = SqlStore.settle

    async def release_then_settle(self: SqlStore, settlements: Sequence[Settlement]) -> frozenset[str]:
        links = [one.claimed for one in settlements if one.claimed.chain_id and isinstance(one.outcome, Completed)]

        def release(connection: Connection) -> frozenset[str]:
            following = Advance(connection, self._layout, self._now())
            for link in links:
                following.release(str(link.chain_id), (link.position or 0) + 1)
            following.count()
            return frozenset(following.queues)

        if links:
            self._wakeup.tell(await self._database.write(release))
            await asyncio.sleep(1)
        return await settle_now(self, settlements)

    SqlStore.settle = release_then_settle  # type: ignore[method-assign]


BUGS: Final[dict[str, Callable[[], None]]] = {
    function.__name__: function
    for function in (
        delete_on_claim,
        complete_on_claim,
        count_attempts_on_failure,
        claim_without_a_lock,
        settle_unfenced,
        rescue_fenced,
        rescue_unfenced,
        rescue_by_start,
        never_extend,
        lease_by_own_clock,
        identity_of_host,
        due_in_whole_seconds,
        retry_at_once,
        acknowledge_before_commit,
        limit_in_memory,
        count_batches_by_hand,
        release_before_settling,
    )
}


def _after_claim(statement: str) -> None:
    """Have this done to each job that was claimed, in the transaction of the claim."""
    claim_now = claim.claim_on_sqlite

    def claim_then(connection: Connection, layout: Layout, now: int, request: Claim) -> Claimed:
        claimed = claim_now(connection, layout, now, request)
        for job in claimed.jobs:
            connection.execute(text(statement), {"id": job.id})
        return claimed

    claim.claim_on_sqlite = claim_then


def _rescue_in_two_steps(*, fenced: bool) -> None:
    """Rescue as two transactions. Of two processes ``first`` and ``second`` see the same lease, and act one after the
    other: the second when the job runs again."""
    is_first = os.environ["RESCUER"] == "first"
    book = Ledger(Path(os.environ["LEDGER"]))
    looking = "SELECT id, queue, token FROM goose_jobs WHERE state = 'processing' AND lease_until <= :now"
    giving = "UPDATE goose_jobs SET state = 'ready', token = NULL, deaths = deaths + 1 WHERE id = :id"
    fence = " AND state = 'processing' AND token = :token" if fenced else ""

    async def look_then_rescue(self: SqlStore, *_: int) -> Rescued:
        now = self._now()
        found = await self._database.read(lambda it: it.execute(text(looking), {"now": now}).first())
        if found is None:
            return Rescued(0, 0, frozenset())
        job, queue, token = found
        book.write("seen", job, note="expired")
        await wait_until(lambda: _seen(book, "expired") == 2)
        if not is_first:
            await wait_until(lambda: len(book.by_job("start")[job]) == 2)
        await self._database.write(lambda it: it.execute(text(giving + fence), {"id": job, "token": token}).rowcount)
        book.write("seen", job, note="given back")
        return Rescued(1, 0, frozenset((queue,)))

    SqlStore.rescue = look_then_rescue  # type: ignore[method-assign,assignment]


def _seen(book: Ledger, what: str) -> int:
    return sum(entry.note == what for entry in book.read())
