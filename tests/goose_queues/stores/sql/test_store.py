"""A store on a database that belongs to the application."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from goose_queues.clock import Clock
from goose_queues.errors import LayoutMismatch, StoreUnavailable
from goose_queues.record import Claim
from goose_queues.stores.sql.claim import claim_on_sqlite
from goose_queues.stores.sql.insert import insert
from goose_queues.stores.sql.read import stats
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.store import SqlStore
from goose_queues.stores.sql.tables import queue_tables
from goose_sql import Database, unit_of
from store_contract.making import new_job

from .conftest import Hand


async def test_a_shared_database_stays_open(file: Path) -> None:
    async with Database(f"sqlite:///{file}") as database:
        store = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await store.open()
        await store.insert([new_job()])
        await store.close()
        await database.check()


async def test_it_is_left_alone_only_when_nothing_is_on_its_way(file: Path, tmp_path: Path) -> None:
    async with Database(f"sqlite:///{file}") as database, Database(f"sqlite:///{tmp_path / 'other.db'}") as elsewhere:
        store = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await store.open()
        async with database.session() as in_the_way, in_the_way.begin():
            await in_the_way.execute(text("create table orders (id text)"))
            async with AsyncSession(elsewhere.engine) as session:
                await session.execute(text("create table orders (id text)"))
                await store.insert([new_job()], within=unit_of(session))
                await session.commit()
            closing = asyncio.ensure_future(store.close())
            await database.check()
            assert not closing.done()
        await closing
        assert (await store.stats())["default"].pending == 1


async def test_a_shared_database_stays_open_where_its_tables_are_refused(file: Path) -> None:
    async with Database(f"sqlite:///{file}") as database:
        with pytest.raises(LayoutMismatch):
            await SqlStore(database, Clock(), owns_database=False, auto_migrate=False).open()
        await database.check()


async def test_a_store_that_answers_is_ready_and_one_that_does_not_says_why(file: Path, store: SqlStore) -> None:
    await store.check()
    await store.close()
    with pytest.raises(StoreUnavailable) as caught:
        await store.check()
    assert str(caught.value) == f"the queue's store sqlite:///{file} is not available: it is not open."


async def test_tables_that_vanish_are_a_store_that_is_not_there(file: Path, store: SqlStore, hand: Hand) -> None:
    hand("drop table goose_jobs")
    with pytest.raises(StoreUnavailable) as caught:
        await store.insert([new_job()])
    assert str(caught.value) == f"the queue's store sqlite:///{file} is not available: no such table: goose_jobs."
    with pytest.raises(StoreUnavailable, match="no such table: goose_jobs"):
        await store.check()


async def test_a_blocking_insert_takes_only_what_join_has_returned(store: SqlStore) -> None:
    with pytest.raises(TypeError) as caught:
        store.insert_blocking([new_job()], within=None)
    assert str(caught.value) == "insert_blocking() takes what join() has returned, not NoneType"


async def test_a_commit_after_the_event_loop_has_ended_is_logged_as_a_loss(
    store: SqlStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = new_job()
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    session = Session(engine)
    session.execute(text("create table orders (id text)"))
    await asyncio.to_thread(lambda: asyncio.run(store.insert([job], within=unit_of(session))))
    session.commit()
    session.close()
    engine.dispose()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.records[0].__dict__["jobs"] == [job.id]


async def test_a_transaction_of_another_driver_takes_the_same_statements() -> None:
    """A driver that is not the standard library's gets the text by SQLAlchemy."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    layout = Layout(queue_tables(), engine.dialect)
    jobs = [new_job(delay=float(number)) for number in range(3)]

    def operate(connection: Connection) -> tuple[list[str], int]:
        layout.tables.metadata.create_all(connection)
        insert(connection, layout, 1_000_000, jobs)
        claimed = claim_on_sqlite(connection, layout, 3_000_000, Claim("default", frozenset({"Work"}), 9, 30.0, "w"))
        return [job.id for job in claimed.jobs], stats(connection, layout, 3_000_000)["default"].processing

    async with engine.begin() as connection:
        assert await connection.run_sync(operate) == ([job.id for job in jobs], 3)
    await engine.dispose()
