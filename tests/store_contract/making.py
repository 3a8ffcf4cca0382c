"""Jobs, claims and outcomes, said shortly."""

from __future__ import annotations

from typing import Any

from goose_queues.ids import new_id
from goose_queues.record import Claim, Claimed, ClaimedJob, ErrorRecord, NewJob, Outcome, Settlement
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


async def settle(store: Store, claimed: ClaimedJob, outcome: Outcome) -> frozenset[str]:
    return await store.settle([Settlement(claimed, outcome)])


def ids(claimed: Claimed) -> list[str]:
    return [job.id for job in claimed.jobs]
