"""Jobs that belong to a transaction of the caller's: stored with its commit, gone with its rollback.

For stores on a database; what is on another one than the transaction is sent right after its commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from goose_queues.errors import ForeignSession, StoreUnavailable, WouldDeadlock
from goose_queues.record import Completed
from goose_queues.store import Store
from goose_sql import Database, unit_of
from goose_sql.errors import WrongColour
from store_contract.making import calls, claim, ids, new_batch, new_job, settle_all
from store_contract.places import Place
from waiting import wait_until


@pytest.fixture
async def database(place: Place, store: Store) -> AsyncIterator[Database]:
    """The queue's own database, as the application's module names it."""
    async with Database(place.url) as database:
        await database.write(_make_orders)
        yield database


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite:///{tmp_path / 'elsewhere.db'}") as database:
        await database.write(_make_orders)
        yield database


def _make_orders(connection: Connection) -> None:
    connection.execute(text("create table if not exists orders (id text)"))


async def order(session: AsyncSession) -> None:
    await session.execute(text("insert into orders values ('egg')"))


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
    place: Place, store: Store, database: Database, commit: bool
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


async def test_a_blocking_connection_is_joined_in_place(place: Place, store: Store, database: Database) -> None:
    job = new_job()

    def blocking() -> None:
        engine = create_engine(place.blocking)
        with engine.begin() as connection:
            store.insert_blocking([job], within=store.join(connection))
        engine.dispose()

    await asyncio.to_thread(blocking)
    assert await store.get(job.id) is not None


async def test_the_colours_are_not_mixed(place: Place, store: Store, database: Database) -> None:
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


async def test_a_session_on_another_database_is_refused_at_once(
    place: Place, store: Store, elsewhere: Database
) -> None:
    async with elsewhere.session() as session:
        with pytest.raises(ForeignSession) as caught:
            store.join(session)
    assert str(caught.value) == (
        f"the session is on {elsewhere.engine.url} and the queue on {place.shown}: "
        "one transaction cannot hold both. "
        "Dispatch without using(): the job is then sent right after the session's commit."
    )


async def test_what_is_no_session_is_refused(store: Store) -> None:
    with pytest.raises(TypeError) as caught:
        store.join("a session")
    assert str(caught.value) == (
        "using() takes an AsyncSession, a Session, an AsyncConnection, a Connection or None, not str"
    )


async def test_on_its_own_is_stored_whatever_becomes_of_the_transaction(store: Store, database: Database) -> None:
    job = new_job()
    async with database.session() as session:
        await session.execute(text("select * from orders"))
        within = store.join(None)
        await store.insert([job], within=within)
        await session.rollback()
    assert await store.get(job.id) is not None


async def test_on_its_own_by_a_task_that_holds_the_write_lock_is_refused(
    place: Place, store: Store, database: Database
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


async def test_beside_another_database_a_job_is_sent_after_its_commit(store: Store, elsewhere: Database) -> None:
    job = new_job()
    async with elsewhere.session() as session:
        await order(session)
        await store.insert([job], within=store.joinable())
        assert await store.get(job.id) is None
        await session.commit()

    async def is_there() -> bool:
        return await store.get(job.id) is not None

    await wait_until(is_there)


async def test_beside_another_database_a_job_is_dropped_with_its_rollback(
    place: Place, store: Store, elsewhere: Database
) -> None:
    job = new_job()
    async with elsewhere.session() as session:
        await order(session)
        await store.insert([job], within=store.joinable())
        # Whatever might be on its way is begun meanwhile, and closing waits for its end.
        await store.stats()
        await session.rollback()
    await store.close()
    assert await (await place.open()).get(job.id) is None


async def test_closing_waits_for_what_is_on_its_way(
    place: Place, store: Store, database: Database, elsewhere: Database
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


async def test_a_commit_in_another_thread_sends_as_well(store: Store, elsewhere: Database, tmp_path: Path) -> None:
    job = new_job()
    engine = create_engine(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    with Session(engine) as session:
        session.execute(text("insert into orders values ('egg')"))
        await store.insert([job], within=unit_of(session))
        await asyncio.to_thread(session.commit)

    async def is_there() -> bool:
        return await store.get(job.id) is not None

    await wait_until(is_there)
    engine.dispose()


async def test_what_cannot_be_sent_after_the_commit_is_logged_loudly(
    store: Store, elsewhere: Database, caplog: pytest.LogCaptureFixture
) -> None:
    job = new_job()
    await store.insert([job])
    async with elsewhere.session() as session, session.begin():
        await order(session)
        await store.insert([new_job(id=job.id)], within=store.joinable())
    await wait_until(lambda: bool(caplog.records))
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    assert record.message == (
        "Jobs are lost: the transaction that dispatched them was committed, but they could not be stored after it"
    )
    assert record.__dict__["jobs"] == [job.id]


async def test_a_store_that_is_closed_says_so(place: Place, store: Store) -> None:
    await store.close()
    with pytest.raises(StoreUnavailable) as caught:
        await store.insert([new_job()])
    assert str(caught.value) == f"the queue's store {place.shown} is not available: it is not open."
    assert caught.value.status_code == 503
    await store.close()


async def test_a_cancelled_caller_leaves_all_or_nothing(store: Store) -> None:
    batches = [[new_job() for _ in range(20)] for _ in range(30)]
    tasks = [asyncio.ensure_future(store.insert(batch)) for batch in batches]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for batch, outcome in zip(batches, done, strict=True):
        there = {await store.get(job.id) is not None for job in batch}
        assert len(there) == 1
        assert there == {True} or isinstance(outcome, asyncio.CancelledError)
