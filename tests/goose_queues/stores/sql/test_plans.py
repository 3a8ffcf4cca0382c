"""What an operation costs does not grow with the rows it has nothing to do with: each walks one index, none sorts."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from goose_queues.record import Claim, Completed, Settlement
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.claim import claim_on_sqlite
from goose_queues.stores.sql.insert import insert
from goose_queues.stores.sql.lease import extend, rescue
from goose_queues.stores.sql.prune import prune
from goose_queues.stores.sql.read import get, stats
from goose_queues.stores.sql.settle import settle
from goose_queues.stores.sql.statement import Statement
from goose_queues.stores.sql.store import SqlStore
from store_contract.making import new_job

NOW = 2_000_000_000_000_000
ACCEPTED = (
    "SEARCH ",
    "LIST SUBQUERY",
    "SCAN goose_counts",
    # Its first row.
    "SCAN goose_jobs USING INDEX ix_goose_jobs_ready",
    "SCAN goose_jobs USING COVERING INDEX ix_goose_jobs_ready",
    # Bounded by the slots of the fleet.
    "SCAN goose_jobs USING INDEX ix_goose_jobs_leased",
    "SCAN goose_jobs USING COVERING INDEX ix_goose_jobs_leased",
)
SORTED = "USE TEMP B-TREE FOR ORDER BY"


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
        extend(connection, layout, NOW, {job.id: job.token for job in claimed.jobs[:1]}, 30.0, frozenset())
        settle(connection, layout, NOW, [Settlement(claimed.jobs[0], Completed())])
        rescue(connection, layout, NOW + 10**9, 10, 3)
        prune(connection, layout, NOW + 10**9, 1.0, 10)
        get(connection, layout, claimed.jobs[1].id)
        stats(connection, layout, NOW)
        counts.places(connection, layout)

    await store._database.write(operate)
    assert len({text for text, _ in plans}) > 12
    assert all("LIMIT 1 " in text for text, step in plans if step.startswith("SCAN") and "ix_goose_jobs_ready" in step)
    walks = [(text, step) for text, step in plans if not step.startswith(ACCEPTED) and step != SORTED]
    assert walks == []
    assert {text.split("\n")[0][:6] for text, step in plans if step == SORTED} <= {"SELECT"}
    assert all("lease_until" in text for text, step in plans if step == SORTED)


async def test_counting_again_walks_indexes_only(store: SqlStore, plans: list[tuple[str, str]]) -> None:
    await store._database.read(lambda connection: counts.drift(connection, store._layout))
    walks = [step for _, step in plans if "goose_jobs" in step]
    assert walks != []
    assert all("INDEX ix_goose_jobs_" in step for step in walks)
