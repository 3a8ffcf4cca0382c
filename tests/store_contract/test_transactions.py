"""Jobs that belong to a transaction of the caller's: stored with its commit, gone with its rollback. On databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from goose_queues.errors import WouldDeadlock
from goose_queues.record import Completed
from goose_queues.store import Store
from goose_sql import Database, unit_of
from goose_sql.errors import WrongColour
from store_contract.making import calls, claim, ids, make_orders, new_batch, new_job, order, settle_all
from store_contract.places import ON_DATABASES, DatabasePlace

pytestmark = pytest.mark.parametrize("place", ON_DATABASES, indirect=True)


@pytest.fixture
async def database(place: DatabasePlace, store: Store) -> AsyncIterator[Database]:
    """The queue's own database, as the application's module names it."""
    async with Database(place.url) as database:
        await database.write(make_orders)
        yield database


async def test_a_joined_job_appears_with_the_commit_and_not_before(store: Store, database: Database) -> None:
    job, heard = new_job(), list[frozenset[str]]()
    async with database.session() as session, session.begin():
        await order(session)
        await store.insert([job], within=store.joinable())
        assert await store.get(job.id) is None
        store.subscribe(heard.append)
        assert heard == []
    assert {"default"} in heard
    assert ids(await claim(store)) == [job.id]


async def test_a_joined_job_is_gone_with_the_rollback(store: Store, database: Database) -> None:
    job = new_job()
    with pytest.raises(ZeroDivisionError):
        async with database.session() as session, session.begin():
            await order(session)
            await store.insert([job, new_job(delay=5.0)], within=store.joinable())
            raise ZeroDivisionError
    assert await store.get(job.id) is None
    assert await store.stats() == {}


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled back"])
async def test_a_joined_batch_is_there_whole_or_not_at_all(store: Store, database: Database, commit: bool) -> None:
    members, batch = new_batch(2, "then", "finally")
    _, empty = new_batch(0, "then")
    async with database.session() as session:
        await order(session)
        await store.insert(members, batches=[batch, empty], within=store.joinable())
        assert await store.batch(batch.id) is None
        await (session.commit() if commit else session.rollback())
    assert [await store.batch(one.id) is not None for one in (batch, empty)] == [commit] * 2
    assert await calls(store) == (["then"] if commit else [])
    await settle_all(store, (await claim(store)).jobs, Completed())
    assert await calls(store) == (["finally", "then"] if commit else [])


async def test_a_savepoint_takes_its_jobs_with_it(store: Store, database: Database) -> None:
    kept, dropped, heard = new_job(), new_job(), list[frozenset[str]]()
    async with database.session() as session, session.begin():
        await order(session)
        async with session.begin_nested():
            await store.insert([kept], within=store.joinable())
        savepoint = await session.begin_nested()
        await store.insert([dropped], within=store.joinable())
        await savepoint.rollback()
        store.subscribe(heard.append)
        assert heard == []
    assert await store.get(kept.id) is not None
    assert await store.get(dropped.id) is None


async def test_without_a_transaction_there_is_nothing_to_join(store: Store, database: Database) -> None:
    assert store.joinable() is None
    async with database.session() as session:
        assert store.joinable() is None
        await order(session)
        assert store.joinable() is not None
        await session.commit()
        assert store.joinable() is None


async def test_the_innermost_transaction_is_joined(store: Store, database: Database) -> None:
    inner_job = new_job()
    async with database.session() as outer, outer.begin():
        async with database.session() as inner, inner.begin():
            await order(inner)
            await store.insert([inner_job], within=store.joinable())
        assert await store.get(inner_job.id) is not None
        await outer.rollback()
    assert await store.get(inner_job.id) is not None


async def test_the_queues_own_database_comes_before_a_nearer_one(
    store: Store, database: Database, elsewhere: Database
) -> None:
    job = new_job()
    async with database.session() as ours, ours.begin():
        await order(ours)
        async with elsewhere.session() as theirs, theirs.begin():
            await order(theirs)
            await store.insert([job], within=store.joinable())
        assert await store.get(job.id) is None
    assert await store.get(job.id) is not None


async def test_dispatches_of_one_session_at_once_take_turns(store: Store, database: Database) -> None:
    jobs = [new_job() for _ in range(20)]
    async with database.session() as session, session.begin():
        await order(session)
        await asyncio.gather(*(store.insert([job], within=store.joinable()) for job in jobs))
    assert (await store.stats())["default"].pending == 20


async def test_half_of_many_transactions_rolled_back(store: Store, database: Database) -> None:
    committed: list[str] = []

    async def one(number: int) -> None:
        job = new_job()
        async with database.session() as session:
            await order(session)
            await store.insert([job], within=store.joinable())
            if number % 2:
                await session.commit()
                committed.append(job.id)
            else:
                await session.rollback()

    await asyncio.gather(*map(one, range(100)))
    assert sorted(ids(await claim(store, 1000))) == sorted(committed)


async def test_a_named_async_session_is_joined(store: Store, database: Database) -> None:
    job = new_job()
    async with AsyncSession(database.engine) as session:
        await store.insert([job], within=store.join(session))
        assert await store.get(job.id) is None
        await session.commit()
    assert await store.get(job.id) is not None


async def test_a_named_async_connection_is_joined(store: Store, database: Database) -> None:
    job = new_job()
    async with database.engine.begin() as connection:
        await store.insert([job], within=store.join(connection))
        assert await store.get(job.id) is None
    assert await store.get(job.id) is not None


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled back"])
async def test_a_blocking_session_is_joined_in_place(
    place: DatabasePlace, store: Store, database: Database, commit: bool
) -> None:
    job, heard = new_job(), list[frozenset[str]]()
    store.subscribe(heard.append)

    def blocking() -> None:
        engine = create_engine(place.blocking)
        with Session(engine) as session:
            session.execute(text("insert into orders values ('egg')"))
            store.insert_blocking([job], within=store.join(session))
            if commit:
                session.commit()
        with engine.connect() as connection:
            orders = connection.execute(text("select count(*) from orders")).scalar_one()
            assert orders == int(commit)
        engine.dispose()

    await asyncio.to_thread(blocking)
    assert (await store.get(job.id) is not None) is commit
    assert ({"default"} in heard) is commit


async def test_a_blocking_connection_is_joined_in_place(place: DatabasePlace, store: Store, database: Database) -> None:
    job = new_job()

    def blocking() -> None:
        engine = create_engine(place.blocking)
        with engine.begin() as connection:
            store.insert_blocking([job], within=store.join(connection))
        engine.dispose()

    await asyncio.to_thread(blocking)
    assert await store.get(job.id) is not None


async def test_the_colours_are_not_mixed(place: DatabasePlace, store: Store, database: Database) -> None:
    engine = create_engine(place.blocking)
    with Session(engine) as session:
        with pytest.raises(WrongColour) as caught:
            await store.insert([new_job()], within=store.join(session))
        assert str(caught.value) == "Session is blocking: end the sentence with .send()."
    engine.dispose()
    async with database.session() as async_session:
        with pytest.raises(WrongColour) as caught:
            store.insert_blocking([new_job()], within=store.join(async_session))
        assert str(caught.value) == "AsyncSession is async: await it."


async def test_on_its_own_is_stored_whatever_becomes_of_the_transaction(store: Store, database: Database) -> None:
    job = new_job()
    async with database.session() as session:
        await session.execute(text("select * from orders"))
        within = store.join(None)
        await store.insert([job], within=within)
        await session.rollback()
    assert await store.get(job.id) is not None


async def test_on_its_own_by_a_task_that_holds_the_write_lock_is_refused(
    place: DatabasePlace, store: Store, database: Database
) -> None:
    async with database.session() as session, session.begin():
        await order(session)
        if database.dialect != "sqlite":
            # Nobody waits for another there.
            assert store.join(None) is None
            return
        with pytest.raises(WouldDeadlock) as caught:
            store.join(None)
    assert str(caught.value) == (
        "using(None) would wait for ever: this task has a transaction open that holds the write lock of "
        f"{place.shown}. Commit it first, or dispatch without using(None) to join it."
    )
    assert store.join(None) is None


async def test_closing_waits_for_what_is_on_its_way(
    place: DatabasePlace, store: Store, database: Database, elsewhere: Database
) -> None:
    job = new_job()
    async with database.session() as in_the_way, in_the_way.begin():
        await order(in_the_way)
        async with AsyncSession(elsewhere.engine) as session:
            await order(session)
            await store.insert([job], within=unit_of(session))
            await session.commit()
        closing = asyncio.ensure_future(store.close())
        await database.check()
        assert database.dialect != "sqlite" or not closing.done()
    await closing
    assert await (await place.open()).get(job.id) is not None
