"""A vacuum that somebody's snapshot blocks is told of in the log."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from goose_queues.clock import Clock
from goose_queues.record import Completed
from goose_queues.stores.sql.store import SqlStore
from goose_queues.stores.sql.vacuum import VacuumWatch
from goose_sql import Database
from servers.shared import Room, connect, room
from store_contract.making import MAX_DEATHS, claim, new_job, settle_all
from waiting import wait_until


@pytest.fixture
def postgres() -> Room:
    rooms = room("postgres")
    rooms.empty()
    return rooms


@pytest.fixture
async def store(postgres: Room) -> AsyncIterator[SqlStore]:
    store = SqlStore(Database(postgres.url), Clock(), owns_database=True, auto_migrate=True)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def somebody(postgres: Room) -> Iterator[Any]:
    """Another connection to the same database, with a name."""
    connection = connect(postgres.url.update_query_dict({"application_name": "a\nreport"}))
    yield connection
    connection.close()


def watch(store: SqlStore, **options: Any) -> VacuumWatch:
    return VacuumWatch(store._database, store._layout, **{"every": 0.0, "old": 0.0, "dead": 1, **options})


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "Vacuum" in record.message]


async def work(store: SqlStore) -> None:
    await store.insert([new_job() for _ in range(50)])
    await settle_all(store, (await claim(store, 50)).jobs, Completed())


async def warned(store: SqlStore, caplog: pytest.LogCaptureFixture, watching: VacuumWatch) -> bool:
    """Dead rows are counted a moment after their time, once somebody has gone on working."""
    await work(store)
    await watching.look()
    return bool(warnings_in(caplog))


@pytest.mark.parametrize(
    "begin",
    [
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1"),
        # Between its statements it has no snapshot, only a number.
        ("BEGIN", "INSERT INTO goose_turns (queue) VALUES ('x')"),
    ],
    ids=["reads", "has written"],
)
async def test_a_transaction_that_stays_open_is_named_once(
    store: SqlStore, somebody: Any, caplog: pytest.LogCaptureFixture, begin: tuple[str, ...]
) -> None:
    for statement in begin:
        somebody.execute(statement)
    # Older than whoever is about to end anyway.
    watching = watch(store, old=0.5)
    await wait_until(lambda: warned(store, caplog, watching))
    await watching.look()
    (warning,) = warnings_in(caplog)
    who = f"the transaction {somebody.info.backend_pid} (user {somebody.info.user}, application a?report)"
    assert warning.startswith("Vacuum of the jobs table is blocked: ")
    assert f" dead rows stay because {who} is " in warning
    assert warning.endswith(
        " s old; end it (pg_terminate_backend), and set idle_in_transaction_session_timeout for its user"
    )


async def test_the_next_one_is_told_of_later(store: SqlStore, somebody: Any, caplog: pytest.LogCaptureFixture) -> None:
    watching, impatient = watch(store), watch(store, quiet=0.0)
    for _ in range(2):
        somebody.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        somebody.execute("SELECT 1")
        await wait_until(lambda: warned(store, caplog, watching) if not warnings_in(caplog) else True)
        await watching.look()
        await impatient.look()
        somebody.execute("ROLLBACK")
        await watching.look()
        await impatient.look()
    # The first of one, and of the other each.
    assert len(warnings_in(caplog)) == 3


async def test_a_young_snapshot_and_a_few_dead_rows_are_nothing(
    store: SqlStore, somebody: Any, caplog: pytest.LogCaptureFixture
) -> None:
    somebody.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    somebody.execute("SELECT 1")
    eager = watch(store)
    await wait_until(lambda: warned(store, caplog, eager))
    caplog.clear()
    await watch(store, old=3_600.0).look()
    await watch(store, dead=10**9).look()
    assert warnings_in(caplog) == []


async def test_an_ordinary_user_who_sees_no_age_has_watched_the_snapshot_himself(
    store: SqlStore, postgres: Room, somebody: Any, caplog: pytest.LogCaptureFixture
) -> None:
    user = f"{postgres.url.database}_reader"
    postgres._run(f"CREATE ROLE {user} LOGIN", f"GRANT USAGE ON SCHEMA public TO {user}")
    try:
        somebody.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        somebody.execute("SELECT 1")
        await wait_until(lambda: warned(store, caplog, watch(store)))
        caplog.clear()
        database = Database(postgres.url.set(username=user))
        await database.open()
        try:
            watching = VacuumWatch(database, store._layout, every=0.0, old=0.05, dead=1)
            await watching.look()
            assert warnings_in(caplog) == []
            await wait_until(lambda: warned(store, caplog, watching))
        finally:
            await database.close()
    finally:
        postgres._run(f"DROP OWNED BY {user}", f"DROP ROLE {user}")


async def test_the_upkeep_looks(store: SqlStore, somebody: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    somebody.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    somebody.execute("SELECT 1")
    store._vacuum = watch(store)

    async def rescued() -> bool:
        await work(store)
        await store.rescue(10, MAX_DEATHS)
        return bool(warnings_in(caplog))

    await wait_until(rescued)
