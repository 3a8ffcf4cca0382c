"""Jobs, claims and outcomes, said shortly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from goose_queues.ids import new_id
from goose_queues.record import (
    BatchProgress,
    BatchRole,
    Claim,
    Claimed,
    ClaimedJob,
    Completed,
    ErrorRecord,
    JobRecord,
    NewBatch,
    NewJob,
    Outcome,
    Settlement,
)
from goose_queues.store import Store

QUEUE = "default"
LEASE = 30.0
MAX_DEATHS = 3
ERROR = ErrorRecord("ValueError", "no such egg", "Traceback ...")


def new_job(**fields: Any) -> NewJob:
    return NewJob(
        **{
            "id": new_id(),
            "name": "Work",
            "queue": QUEUE,
            "payload": '{"number":1}',
            "priority": 1,
            "max_retries": 3,
            "timeout": 60.0,
            **fields,
        }
    )


async def claim(
    store: Store,
    limit: int = 10,
    *,
    queue: str = QUEUE,
    names: frozenset[str] = frozenset({"Work"}),
    worker: str = "a-worker",
    slots: int | None = None,
) -> Claimed:
    return await store.claim(Claim(queue, names, limit, LEASE, worker, slots))


async def claim_one(store: Store) -> ClaimedJob:
    claimed = await claim(store, 1)
    assert len(claimed.jobs) == 1, "nothing to claim"
    return claimed.jobs[0]


async def complete_only(store: Store, job: NewJob) -> None:
    """The job is the one that is there to claim, and completes."""
    claimed = (await claim(store)).jobs
    assert [one.id for one in claimed] == [job.id]
    await settle(store, claimed[0], Completed())


async def settle(store: Store, claimed: ClaimedJob, outcome: Outcome) -> frozenset[str]:
    return await store.settle([Settlement(claimed, outcome)])


def ids(claimed: Claimed) -> list[str]:
    return [job.id for job in claimed.jobs]


def new_chain(length: int, **fields: Any) -> list[NewJob]:
    """The links of one chain, in order."""
    chain_id = new_id()
    return [new_job(chain_id=chain_id, position=position, **fields) for position in range(length)]


def members_of(batch_id: str, count: int, **fields: Any) -> list[NewJob]:
    """The members of one batch, without its row."""
    return [new_job(batch_id=batch_id, batch_role="member", **fields) for _ in range(count)]


def new_batch(count: int, *roles: BatchRole, **fields: Any) -> tuple[list[NewJob], NewBatch]:
    """A batch of so many, with a callback ``Call`` for each of these roles."""
    batch_id = new_id()
    callbacks = tuple(new_job(name="Call", batch_id=batch_id, batch_role=role) for role in roles)
    return members_of(batch_id, count, **fields), NewBatch(batch_id, count, callbacks)


async def calls(store: Store) -> list[BatchRole | None]:
    """The callbacks that have become jobs since this was last asked."""
    return sorted((job.batch_role for job in (await claim(store, 100, names=frozenset({"Call"}))).jobs), key=str)


async def statuses(store: Store, jobs: Sequence[NewJob]) -> list[str | None]:
    records = [await store.get(job.id) for job in jobs]
    return [None if record is None else record.status for record in records]


async def record_of(store: Store, job: NewJob | ClaimedJob) -> JobRecord:
    record = await store.get(job.id)
    assert record is not None, "it is not there"
    return record


async def note_of(store: Store, job: NewJob) -> str | None:
    return (await record_of(store, job)).note


async def progress_of(store: Store, batch: NewBatch) -> BatchProgress:
    progress = await store.batch(batch.id)
    assert progress is not None, "there is no such batch"
    return progress


async def counts_of(store: Store, batch: NewBatch) -> tuple[int, int, int, int, int]:
    """Pending, processing, completed, failed, cancelled."""
    it = await progress_of(store, batch)
    assert it.pending + it.processing + it.completed + it.failed + it.cancelled == it.total
    return it.pending, it.processing, it.completed, it.failed, it.cancelled


async def settle_all(store: Store, claimed: Sequence[ClaimedJob], outcome: Outcome) -> None:
    assert await store.settle([Settlement(job, outcome) for job in claimed]) == frozenset()


def make_orders(connection: Connection) -> None:
    """The table of an application that writes beside its dispatches."""
    connection.execute(text("create table if not exists orders (id text)"))


async def order(session: AsyncSession | AsyncConnection) -> None:
    await session.execute(text("insert into orders values ('egg')"))
