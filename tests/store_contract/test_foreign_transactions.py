"""Jobs beside a transaction on another database than theirs: sent right after its commit, dropped with its rollback."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from goose_queues.errors import ForeignSession
from goose_queues.store import Store
from goose_sql import Database, unit_of
from store_contract.making import new_job, order
from store_contract.places import Place
from waiting import wait_until


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


async def test_whoever_leaves_the_transaction_finds_the_job_stored(store: Store, elsewhere: Database) -> None:
    """A request is answered after that, so its caller can ask for the job."""
    for number in range(20):
        job = new_job()
        if number % 2:
            async with elsewhere.session() as session, session.begin():
                await order(session)
                await store.insert([job], within=store.joinable())
        else:
            async with elsewhere.transaction() as connection:
                await order(connection)
                await store.insert([job], within=store.joinable())
        assert await store.get(job.id) is not None


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
