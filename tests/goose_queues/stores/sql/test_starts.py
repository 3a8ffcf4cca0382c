"""Where claims begin on PostgreSQL once the entries of claimed jobs make it dear to begin at the beginning."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from goose_queues.clock import Clock
from goose_queues.record import Completed, Released
from goose_queues.stores.sql.starts import PRIORITIES, Line, Starts
from goose_queues.stores.sql.statement import Statement
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.shared import Room, connect, room
from store_contract.making import claim, claim_one, ids, new_job, settle, settle_all
from waiting import wait_until

NAMES = frozenset({"Work"})


@pytest.fixture
def postgres() -> Room:
    rooms = room("postgres")
    rooms.empty()
    return rooms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(postgres: Room, clock: Clock) -> AsyncIterator[SqlStore]:
    """One that finds every claim dear, and looks aside when a test does."""
    store = SqlStore(Database(postgres.url), clock, owns_database=True, auto_migrate=True)
    store._starts = Starts(store._database, store._layout, store._wakeup.tell, dear=0, apart=3_600)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(postgres: Room, clock: Clock) -> AsyncIterator[SqlStore]:
    """Another process's."""
    store = SqlStore(Database(postgres.url), clock, owns_database=True, auto_migrate=True)
    await store.open()
    yield store
    await store.close()


def line_of(store: SqlStore) -> Line:
    return store._starts._lines["default", NAMES]


async def look(store: SqlStore) -> bool:
    found, _ = await store._database.read(lambda connection: line_of(store).look(connection, store._layout))
    return found


async def test_what_another_process_gives_back_with_its_old_time_is_found(
    store: SqlStore, other: SqlStore, clock: Clock
) -> None:
    await store.insert([new_job(), old := new_job()])
    await claim_one(store)
    taken = await claim_one(other)
    clock.offset += 10
    await store.insert([new_job()])
    await claim_one(store)
    await settle(other, taken, Released())
    assert (await claim(store)).jobs == ()
    assert await look(store)
    assert ids(await claim(store)) == [old.id]


async def test_looks_aside_go_on_by_themselves_and_tell_the_workers(
    store: SqlStore, other: SqlStore, clock: Clock
) -> None:
    told: list[frozenset[str]] = []
    store._starts = Starts(store._database, store._layout, told.append, dear=0, apart=0.01)
    await store.insert([old := new_job(), new_job()])
    taken = await claim_one(other)
    clock.offset += 10
    await store.insert([new_job()])
    assert len((await claim(store)).jobs) == 2
    assert told == []
    await settle(other, taken, Released())
    await wait_until(lambda: frozenset({"default"}) in told)
    assert ids(await claim(store)) == [old.id]


async def test_what_is_more_urgent_still_goes_first(store: SqlStore, clock: Clock) -> None:
    await store.insert([new_job(priority=priority) for priority in (1, 5, 9)])
    assert len((await claim(store)).jobs) == 3
    clock.offset += 10
    jobs = [new_job(priority=priority) for priority in (0, 1, 3, 5, 7, 9, 11)]
    await store.insert(jobs)
    assert ids(await claim(store, 5)) == [job.id for job in reversed(jobs[2:])]
    assert ids(await claim(store, 5)) == [jobs[1].id, jobs[0].id]


async def test_what_comes_due_late_is_not_passed_over(store: SqlStore, clock: Clock) -> None:
    await store.insert([early := new_job(delay=5.0)])
    await store.insert([new_job()])
    await claim_one(store)
    clock.offset += 10
    await store.insert([late := new_job()])
    assert ids(await claim(store)) == [early.id, late.id]


@pytest.mark.parametrize("slots", [None, 100])
async def test_a_claim_does_not_walk_what_was_claimed_under_a_held_snapshot(
    store: SqlStore, other: SqlStore, postgres: Room, clock: Clock, ran: list[tuple[str, Any]], slots: int | None
) -> None:
    with held_snapshot(postgres):
        for _ in range(20):
            await store.insert([new_job() for _ in range(100)])
            await settle_all(store, (await claim(store, 100, slots=slots)).jobs, Completed())
            clock.offset += 1
        await store.insert([new_job() for _ in range(40)])
        knowing, unknowing = [await pages_of_a_claim(it, ran, slots) for it in (store, other)]
    assert 5 * knowing < unknowing


async def test_claims_begin_at_the_beginning_again_once_that_is_cheap(store: SqlStore) -> None:
    await store.insert([new_job()])
    await claim_one(store)
    line = line_of(store)
    assert line.is_dear
    line._dear = 10**9  # type: ignore[misc]
    assert not await look(store)
    assert not line.is_dear
    assert line.parts() is None


def test_a_line_keeps_the_beginnings_of_a_few_priorities_only() -> None:
    line = Line("default", NAMES, dear=0)
    line.took([(priority, 10**15) for priority in range(100)], 0, 2 * 10**15)
    parts = line.parts()
    assert parts is not None
    assert parts["highs"][0] == 2**31 - 1  # type: ignore[index]
    assert len(parts["lows"]) == PRIORITIES + 2  # type: ignore[arg-type]


def test_a_time_that_a_hand_has_put_far_ahead_is_no_beginning() -> None:
    line = Line("default", NAMES, dear=0)
    line.took([(1, 2**60), ("x", 5), (2, None)], 0, 10**15)
    parts = line.parts()
    assert parts is not None
    assert max(parts["sinces"]) < 10**15  # type: ignore[call-overload]


@contextmanager
def held_snapshot(postgres: Room) -> Iterator[None]:
    connection = connect(postgres.url)
    try:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM goose_jobs")
        yield
    finally:
        connection.close()


async def pages_of_a_claim(store: SqlStore, ran: list[tuple[str, Any]], slots: int | None) -> int:
    """Pages that one visits by way of the index of what is ready."""
    ran.clear()
    assert len((await claim(store, 10, slots=slots)).jobs) == 10
    text, parameters = next((text, parameters) for text, parameters in ran if "SKIP LOCKED" in text)

    def explain(connection: Connection) -> int:
        connection.exec_driver_sql("SAVEPOINT plan")
        found = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", parameters)
        pages = pages_of(found.scalar_one()[0]["Plan"])
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT plan")
        return pages

    return await store._database.write(explain)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The statements that are run, with their parameters."""
    seen: list[tuple[str, Any]] = []
    cursor = Statement._cursor

    def noted(statement: Statement, connection: Connection, parameters: Any) -> Any:
        seen.append((statement.text, parameters))
        return cursor(statement, connection, parameters)

    monkeypatch.setattr(Statement, "_cursor", noted)
    return seen


def pages_of(plan: dict[str, Any]) -> int:
    within = sum(pages_of(child) for child in plan.get("Plans", ()))
    if plan.get("Index Name") != "ix_goose_jobs_ready":
        return within
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
