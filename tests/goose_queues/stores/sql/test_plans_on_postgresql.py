"""On PostgreSQL too an operation touches the rows that it is about, whatever the planner believes of a million others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from sqlalchemy import Connection

from goose_queues.clock import Clock
from goose_queues.ids import new_id
from goose_queues.record import (
    Cancelled,
    Claim,
    Claimed,
    Completed,
    Doomed,
    Failed,
    JobFilter,
    NewBatch,
    Outcome,
    Released,
    Retry,
    Settlement,
    Snoozed,
    Status,
)
from goose_queues.stores.sql import counts, pause, read, steer
from goose_queues.stores.sql.claim import PROMOTED, claim, claim_at_once
from goose_queues.stores.sql.insert import insert
from goose_queues.stores.sql.lease import extend, rescue
from goose_queues.stores.sql.listing import page
from goose_queues.stores.sql.prune import find_old, prune, prune_batches
from goose_queues.stores.sql.purge import purge
from goose_queues.stores.sql.settle import settle
from goose_queues.stores.sql.starts import Line
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.shared import Room, room
from store_contract.making import ERROR, new_job

LIMIT = 100
FEW = 10 * LIMIT
"""Rows that a node of a plan may touch for so many jobs."""
NAMES = frozenset({"Work", "b", "c"})
THIRD = 333_333
OUTCOMES: tuple[Outcome, ...] = (
    Completed(),
    Failed(ERROR),
    Doomed(ERROR),
    Cancelled("why"),
    Retry(5.0, ERROR),
    Snoozed(5.0),
    Released(),
)


@dataclass(frozen=True)
class Step:
    """One node of a plan, as it went."""

    statement: str
    kind: str
    table: str
    rows: int
    """That it has touched, with those that a filter has thrown away."""


Plans = list[Step]


@pytest.fixture
def postgres() -> Room:
    rooms = room("postgres")
    rooms.empty()
    return rooms


@pytest.fixture
async def store(postgres: Room) -> AsyncIterator[SqlStore]:
    store = SqlStore(Database(postgres.url), Clock(), owns_database=True, auto_migrate=True)
    await store.open()
    # What the planner believes stays what a test has made of it.
    postgres._run("ALTER TABLE goose_jobs SET (autovacuum_enabled = off)")
    yield store
    postgres._run("TRUNCATE goose_jobs", "ALTER TABLE goose_jobs RESET (autovacuum_enabled)")
    # TRUNCATE leaves the old statistics behind.
    postgres._run("ANALYZE goose_jobs")
    await store.close()


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    """Every step of every statement that is run, as PostgreSQL has done it once, before it does it to stay."""
    seen: Plans = []
    cursor = Statement._cursor

    def explained(statement: Statement, connection: Connection, parameters: Any) -> Any:
        connection.exec_driver_sql("SAVEPOINT plan")
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"
        plan = connection.exec_driver_sql(explain, parameters or None).scalar_one()[0]["Plan"]
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT plan")
        seen.extend(steps(statement.text, plan))
        return cursor(statement, connection, parameters)

    monkeypatch.setattr(Statement, "_cursor", explained)
    return seen


def steps(statement: str, plan: dict[str, Any]) -> Iterator[Step]:
    thrown = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    rows = round((plan["Actual Rows"] + thrown) * plan["Actual Loops"])
    yield Step(statement, plan["Node Type"], plan.get("Relation Name", ""), rows)
    for child in plan.get("Plans", ()):
        yield from steps(statement, child)


def walks(plans: Plans, most: int = FEW) -> list[tuple[str, str, int]]:
    """What has read the jobs from end to end, or touched more rows than the operation is about."""
    return [
        (step.statement, step.kind, step.rows)
        for step in plans
        if (step.kind == "Seq Scan" and step.table == "goose_jobs") or step.rows > most
    ]


def take(connection: Connection, layout: Layout, now: int, line: Line | None = None, **more: Any) -> Claimed:
    request = Claim("default", NAMES, LIMIT, 30.0, "w", **more)
    if more:
        return claim(connection, layout, now, request, line or Line("default", NAMES))
    found = claim_at_once(connection, layout, now, request, line or Line("default", NAMES))
    return claim(connection, layout, now, request, line) if found is None else found


def operate(connection: Connection, layout: Layout, now: int) -> None:
    """All that a worker and the upkeep do, all day."""
    take(connection, layout, now, slots=40)
    take(connection, layout, now, fleet_limit=150)
    line = Line("default", NAMES, dear=0)
    jobs = [job for _ in range(2) for job in take(connection, layout, now, line).jobs]
    assert len(jobs) == 2 * LIMIT
    assert line.is_dear
    line.look(connection, layout)
    extend(connection, layout, now, {job.id: job.token for job in jobs}, 30.0)
    settlements = [Settlement(job, OUTCOMES[number % len(OUTCOMES)]) for number, job in enumerate(jobs[:LIMIT])]
    settle(connection, layout, now, settlements)
    settle(connection, layout, now, [Settlement(job, Completed()) for job in jobs[LIMIT:150]])
    rescue(connection, layout, now + 10**9, LIMIT, 3)
    prune(connection, layout, now + 10**9, 1.0, find_old(connection, layout, now + 10**9, 1.0, LIMIT, None))
    prune_batches(connection, layout, now + 10**9, 1.0, LIMIT)
    read.get(connection, layout, jobs[0].id)
    counts.places(connection, layout)
    counts.fold(connection, layout)
    steer.cancel_requests(connection, layout)


def steer_and_list(connection: Connection, layout: Layout, now: int) -> None:
    """What people do."""
    chain, batch = new_id(), new_id()
    links = [new_job(chain_id=chain, position=place, priority=9) for place in range(5)]
    members = [new_job(batch_id=batch, batch_role="member", priority=9) for _ in range(20)]
    then = new_job(batch_id=batch, batch_role="then")
    insert(connection, layout, now, [*links, *members], [NewBatch(batch, 20, (then,))])
    by_id = {job.id: job for job in take(connection, layout, now).jobs}
    settle(connection, layout, now, [Settlement(by_id[links[0].id], Completed())])
    settle(connection, layout, now, [Settlement(by_id[job.id], Completed()) for job in members[1:]])
    settle(connection, layout, now, [Settlement(by_id[members[0].id], Failed(ERROR))])
    steer.cancel(connection, layout, now, links[1].id, "why")
    steer.retry(connection, layout, now, links[1].id)
    steer.retry(connection, layout, now, members[0].id)
    read.batch(connection, layout, batch)
    pause.pause(connection, layout, now, "other")
    for wanted in (
        JobFilter(),
        *(JobFilter(queue="default", status=status) for status in get_args(Status)),
        JobFilter(chain_id=chain),
        JobFilter(batch_id=batch),
    ):
        found = page(connection, layout, wanted, 30, None)
        page(connection, layout, wanted, 30, found.cursor)
    purge(connection, layout, now, "default", LIMIT, None)


async def test_no_operation_walks_a_million(store: SqlStore, postgres: Room, plans: Plans) -> None:
    layout, now = store._layout, store._now()
    load_a_million(postgres, now)
    await store._database.write(lambda connection: operate(connection, layout, now))
    await store._database.write(lambda connection: steer_and_list(connection, layout, now))
    assert len({step.statement for step in plans}) > 50
    assert walks(plans) == []


async def test_stats_of_a_million_read_indexes_only(store: SqlStore, postgres: Room, plans: Plans) -> None:
    layout, now = store._layout, store._now()
    load_a_million(postgres, now)
    stats = await store._database.write(lambda connection: read.stats(connection, layout, now))
    assert (stats["default"].pending, stats["default"].scheduled, stats["default"].completed) == (THIRD,) * 3
    assert [step for step in plans if step.table == "goose_jobs" and step.kind == "Seq Scan"] == []
    assert [step for step in plans if step.kind == "Sort" and step.rows > FEW] == []


async def test_a_claim_sorts_no_backlog_where_statistics_are_of_another_time(
    store: SqlStore, postgres: Room, plans: Plans
) -> None:
    analyzed_many_queues(postgres, store._now())
    # Leaves what was learnt of the columns.
    postgres._run("TRUNCATE goose_jobs")
    await store.insert([new_job() for _ in range(3_000)])
    plans.clear()

    def claim_in_all_ways(connection: Connection) -> None:
        line = Line("default", NAMES, dear=0)
        for more in ({}, {}, {"slots": 40}):
            take(connection, store._layout, store._now(), line, **more)

    await store._database.write(claim_in_all_ways)
    assert walks(plans) == []


async def test_what_has_come_due_is_made_ready_in_order_of_its_time(
    store: SqlStore, postgres: Room, plans: Plans
) -> None:
    layout, now = store._layout, store._now()
    load(postgres, now, 50_000, "scheduled", "NULL")
    postgres._run(
        "ANALYZE goose_jobs", "INSERT INTO goose_counts (queue, state, jobs) VALUES ('default', 'scheduled', 50000)"
    )
    later = now + 2 * 10**12
    claimed = await store._database.write(lambda connection: take(connection, layout, later))
    assert len(claimed.jobs) == LIMIT
    assert walks(plans, PROMOTED) == []


async def test_pruning_finds_by_ids_what_it_has_found_without_statistics(
    store: SqlStore, postgres: Room, plans: Plans
) -> None:
    layout, now = store._layout, store._now()
    postgres._run(
        "ANALYZE goose_jobs", "INSERT INTO goose_counts (queue, state, jobs) VALUES ('default', 'completed', 20000)"
    )
    load(postgres, now, 20_000, "completed", f"{now} - 60000000 + number")

    def operate(connection: Connection) -> int:
        return prune(connection, layout, now, 1.0, find_old(connection, layout, now, 1.0, LIMIT, None))

    assert await store._database.write(operate) == LIMIT
    assert walks(plans) == []


def nothing(_: Room, __: int) -> None:
    """No statistics at all."""


def analyzed_empty(postgres: Room, _: int) -> None:
    postgres._run("ANALYZE goose_jobs")


def analyzed_finished(postgres: Room, now: int) -> None:
    load(postgres, now, 20_000, "completed", f"{now} - number")
    postgres._run("ANALYZE goose_jobs")


def analyzed_a_few(postgres: Room, now: int) -> None:
    """About as many as one claim takes: the planner may think that it could as well read and sort them all."""
    load(postgres, now, 20_000, "completed", f"{now} - number")
    postgres._run(
        "UPDATE goose_jobs SET state = 'ready', finished_at = NULL WHERE id LIKE '%00'",
        "VACUUM ANALYZE goose_jobs",
    )


def analyzed_many_queues(postgres: Room, now: int) -> None:
    load(postgres, now, 20_000, "ready", "NULL", queue="'q' || number % 500")
    postgres._run("ANALYZE goose_jobs")


@pytest.mark.parametrize("before", [nothing, analyzed_empty, analyzed_finished, analyzed_a_few, analyzed_many_queues])
async def test_no_operation_walks_what_has_just_been_stored(
    store: SqlStore, postgres: Room, plans: Plans, before: Callable[[Room, int], None]
) -> None:
    layout, now = store._layout, store._now()
    before(postgres, now)
    for _ in range(10):
        await store.insert([new_job() for _ in range(5_000)])
    plans.clear()
    await store._database.write(lambda connection: operate(connection, layout, store._now()))
    assert walks(plans) == []


def load_a_million(postgres: Room, now: int) -> None:
    indexes = postgres._run(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'goose_jobs' AND indexname LIKE 'ix%'"
    )
    postgres._run(*(f"DROP INDEX {name}" for name, _ in indexes))
    load(postgres, now, THIRD, "completed", f"{now} - number", first=0)
    load(postgres, now, THIRD, "scheduled", "NULL", first=THIRD)
    load(postgres, now, THIRD, "ready", "NULL", first=2 * THIRD)
    postgres._run(*(text for _, text in indexes))
    postgres._run(
        "INSERT INTO goose_counts (queue, state, jobs) SELECT queue, state, count(*) FROM goose_jobs "
        "WHERE state <> 'ready' GROUP BY queue, state",
        "ANALYZE goose_jobs",
    )


def load(
    postgres: Room, now: int, number: int, state: str, finished_at: str, *, first: int = 0, queue: str = "'default'"
) -> None:
    due = f"{now} + 1000000000 + number" if state == "scheduled" else f"{now} - 1000000000 + number"
    postgres._run(
        "INSERT INTO goose_jobs (id, queue, state, priority, due_at, name, max_retries, created_at, finished_at, "
        "chain_id, position, payload) SELECT '00000000-0000-7000-8000-' || lpad(number::text, 12, '0'), "
        f"{queue}, '{state}', number % 3, {due}, 'Work', 3, {now}, {finished_at}, "
        "CASE WHEN number % 50 = 0 THEN '00000000-0000-7000-9000-' || lpad(number::text, 12, '0') END, "
        "CASE WHEN number % 50 = 0 THEN 0 END, '{}' "
        f"FROM generate_series({first}, {first} + {number} - 1) AS number"
    )
