"""Turns: of the processes that claim from a queue with a limit across the fleet, one looks and takes at a time.

Between counting the live leases and taking jobs nobody else may take any. Who renews such a lease takes a turn too, or it
might come to life again while somebody counts it as lapsed. SQLite has one writer anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, select

from goose_queues.stores.sql.given import Given, Many
from goose_queues.stores.sql.once import insert_once
from goose_queues.stores.sql.statement import Layout, Statement


def take_turn(connection: Connection, layout: Layout, queue: str) -> None:
    """Wait until nobody else has the queue's turn; it ends with the transaction."""
    if layout.tables.turns is None:
        return
    if not _locking(layout).rows(connection, {"of_queue": queue}):
        _making(layout).run(connection, {"queue": queue})
        _locking(layout).rows(connection, {"of_queue": queue})


def take_turns_of(connection: Connection, layout: Layout, job_ids: Iterable[str]) -> None:
    """The same for the queues of these jobs."""
    if layout.tables.turns is None:
        return
    queues = {queue for (queue,) in _queues(layout).rows(connection, [{"of_id": job_id} for job_id in job_ids])}
    for queue in sorted(queues):
        take_turn(connection, layout, queue)


@lru_cache(maxsize=16)
def _locking(layout: Layout) -> Statement:
    turns = _turns(layout)
    return layout.prepare(select(turns.c.queue).where(turns.c.queue == bindparam("of_queue")).with_for_update())


@lru_cache(maxsize=16)
def _making(layout: Layout) -> Statement:
    return insert_once(layout, _turns(layout), ("queue",))


@lru_cache(maxsize=16)
def _queues(layout: Layout) -> Many:
    jobs = layout.tables.jobs

    def build(given: Given) -> Any:
        return select(jobs.c.queue).where(given.is_for(jobs.c.id, "of_id")).distinct()

    return Many(layout, {"of_id": "key"}, build)


def _turns(layout: Layout) -> Any:
    return layout.tables.turns
