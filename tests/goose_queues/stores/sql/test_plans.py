"""What an operation costs does not grow with the rows it has nothing to do with: each walks one index, none sorts."""

from __future__ import annotations

from typing import get_args

import pytest
from sqlalchemy import Connection

from goose_queues.ids import new_id
from goose_queues.record import Claim, Completed, Failed, JobFilter, NewBatch, Settlement, Status
from goose_queues.stores.sql import counts, pause, read, steer
from goose_queues.stores.sql.claim import claim_on_sqlite
from goose_queues.stores.sql.insert import insert
from goose_queues.stores.sql.lease import extend, rescue
from goose_queues.stores.sql.listing import page
from goose_queues.stores.sql.prune import find_old, prune, prune_batches
from goose_queues.stores.sql.purge import purge
from goose_queues.stores.sql.read import get, stats
from goose_queues.stores.sql.settle import settle
from goose_queues.stores.sql.statement import Statement
from goose_queues.stores.sql.store import SqlStore
from store_contract.making import ERROR, new_job

NOW = 2_000_000_000_000_000
ACCEPTED = (
    "SEARCH ",
    "LIST SUBQUERY",
    "CORRELATED ",
    "SCALAR SUBQUERY",
    "SCAN goose_counts",
    # Its first row.
    "SCAN goose_jobs USING INDEX ix_goose_jobs_ready",
    "SCAN goose_jobs USING COVERING INDEX ix_goose_jobs_ready",
    # As many of them as are walked at most.
    "CO-ROUTINE ready",
    "SCAN ready",
    # Bounded by the slots of the fleet.
    "SCAN goose_jobs USING INDEX ix_goose_jobs_leased",
    "SCAN goose_jobs USING COVERING INDEX ix_goose_jobs_leased",
)
SORTED = "USE TEMP B-TREE FOR ORDER BY"
# A table of a few rows, by hand.
SMALL = ("SCAN goose_paused",)
# What shares the first columns of a key: a link's queues, jobs that were settled in one moment; or what runs.
PARTLY_SORTED = ("USE TEMP B-TREE FOR",)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every statement that is run, with each step of SQLite's plan for it."""
    seen: list[tuple[str, str]] = []
    cursor = Statement._cursor

    def explained(statement: Statement, connection: Connection, parameters: tuple[object, ...]) -> object:
        raw = connection.connection.driver_connection
        assert raw is not None
        for _, _, _, step in raw.execute(f"explain query plan {statement.text}", parameters):
            seen.append((statement.text, step))
        return cursor(statement, connection, parameters)

    monkeypatch.setattr(Statement, "_cursor", explained)
    return seen


@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics", "analyzed"])
async def test_no_operation_walks_a_backlog(store: SqlStore, plans: list[tuple[str, str]], analyzed: bool) -> None:
    layout = store._layout

    def operate(connection: Connection) -> None:
        insert(connection, layout, NOW, [new_job(delay=None if number % 3 else 60.0) for number in range(300)])
        if analyzed:
            connection.exec_driver_sql("analyze")
        plans.clear()
        claimed = claim_on_sqlite(
            connection, layout, NOW + 61_000_000, Claim("default", frozenset({"Work", "b", "c"}), 50, 30.0, "w", 40)
        )
        extend(connection, layout, NOW, {job.id: job.token for job in claimed.jobs[:1]}, 30.0)
        settle(connection, layout, NOW, [Settlement(claimed.jobs[0], Completed())])
        rescue(connection, layout, NOW + 10**9, 10, 3)
        prune(connection, layout, NOW + 10**9, 1.0, find_old(connection, layout, NOW + 10**9, 1.0, 10, None))
        prune_batches(connection, layout, NOW + 10**9, 1.0, 10)
        get(connection, layout, claimed.jobs[1].id)
        stats(connection, layout, NOW)
        counts.places(connection, layout)

    await store._database.write(operate)
    assert len({text for text, _ in plans}) > 12
    assert all("LIMIT 1 " in text for text, step in plans if step.startswith("SCAN") and "ix_goose_jobs_ready" in step)
    walks = [(text, step) for text, step in plans if not step.startswith((*ACCEPTED, *SMALL, *PARTLY_SORTED))]
    assert walks == []
    assert {text.split("\n")[0][:6] for text, step in plans if step == SORTED} <= {"SELECT"}
    assert all("lease_until" in text for text, step in plans if step == SORTED)


async def test_no_steering_and_no_listing_walks_a_backlog(store: SqlStore, plans: list[tuple[str, str]]) -> None:
    layout = store._layout

    def operate(connection: Connection) -> None:
        chain, batch = new_id(), new_id()
        links = [new_job(chain_id=chain, position=place) for place in range(5)]
        members = [new_job(batch_id=batch, batch_role="member") for _ in range(20)]
        then = new_job(batch_id=batch, batch_role="then")
        insert(connection, layout, NOW, [new_job() for _ in range(100)])
        insert(connection, layout, NOW, [*links, *members], [NewBatch(batch, 20, (then,))])
        plans.clear()
        claimed = claim_on_sqlite(connection, layout, NOW, Claim("default", frozenset({"Work"}), 200, 30.0, "w"))
        by_id = {job.id: job for job in claimed.jobs}
        settle(connection, layout, NOW, [Settlement(by_id[links[0].id], Completed())])
        settle(connection, layout, NOW, [Settlement(by_id[job.id], Completed()) for job in members[1:]])
        settle(connection, layout, NOW, [Settlement(by_id[members[0].id], Failed(ERROR))])
        steer.cancel(connection, layout, NOW, links[1].id, "why")
        steer.retry(connection, layout, NOW, links[1].id)
        steer.retry(connection, layout, NOW, members[0].id)
        read.batch(connection, layout, batch)
        steer.cancel_requests(connection, layout)
        pause.pause(connection, layout, NOW, "other")
        for wanted in (
            JobFilter(),
            *(JobFilter(queue="default", status=status) for status in get_args(Status)),
            JobFilter(chain_id=chain),
            JobFilter(batch_id=batch),
        ):
            found = page(connection, layout, wanted, 3, None)
            page(connection, layout, wanted, 3, found.cursor)
        purge(connection, layout, NOW, "default", 5, None)

    await store._database.write(operate)
    assert len({text for text, _ in plans}) > 30
    walks = [(text, step) for text, step in plans if not step.startswith((*ACCEPTED, *SMALL, *PARTLY_SORTED))]
    assert walks == []


async def test_counting_again_walks_indexes_only(store: SqlStore, plans: list[tuple[str, str]]) -> None:
    await store._database.read(lambda connection: counts.drift(connection, store._layout))
    walks = [step for _, step in plans if "goose_jobs" in step]
    assert walks != []
    assert all("INDEX ix_goose_jobs_" in step for step in walks)


async def test_pruning_asks_for_the_unfinished_links_of_a_chain_alone(
    store: SqlStore, plans: list[tuple[str, str]]
) -> None:
    layout, later = store._layout, NOW + 10**9

    def operate(connection: Connection) -> None:
        insert(connection, layout, NOW, [new_job(chain_id=new_id(), position=0)])
        claimed = claim_on_sqlite(connection, layout, NOW, Claim("default", frozenset({"Work"}), 1, 30.0, "w"))
        settle(connection, layout, NOW, [Settlement(claimed.jobs[0], Completed())])
        plans.clear()
        prune(connection, layout, later, 1.0, find_old(connection, layout, later, 1.0, 10, None))

    await store._database.write(operate)
    # A batch in a chain has up to 100,000 of its links, and each of them asks.
    asked = [step for _, step in plans if " link " in step]
    assert len(asked) == 2
    assert all(" ix_goose_jobs_link " in f"{step} " for step in asked)
