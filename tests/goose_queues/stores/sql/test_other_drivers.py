"""A store works with whatever driver its URL names, and with a session's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from goose_queues.clock import Clock
from goose_queues.record import Completed, Failed, JobFilter, Retry, Settlement
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.shared import room
from store_contract.making import ERROR, LEASE, MAX_DEATHS, calls, claim, new_batch, new_chain, new_job, settle_all

DRIVERS = {
    "postgresql+asyncpg": ("postgres", "postgresql+psycopg"),
    "postgresql+psycopg_async": ("postgres", "postgresql+psycopg"),
    "mysql+aiomysql": ("mysql", "mysql+pymysql"),
    "mariadb+asyncmy": ("mysql", "mysql+pymysql"),
}


@pytest.fixture(params=DRIVERS, ids=lambda driver: f"{DRIVERS[driver][0]}-{driver}")
def driver(request: pytest.FixtureRequest) -> str:
    driver: str = request.param
    pytest.importorskip(driver.partition("+")[2].removesuffix("_async"))
    return driver


@pytest.fixture
async def store(driver: str) -> AsyncIterator[SqlStore]:
    there = room(DRIVERS[driver][0])
    there.clear()
    database = Database(there.url.set(drivername=driver))
    store = SqlStore(database, Clock(), owns_database=True, auto_migrate=True)
    await store.open()
    yield store
    await store.close()
    there.clear()


async def test_a_job_goes_all_its_ways(store: SqlStore) -> None:
    """Every operation that changes jobs runs once."""
    done, failed, again = jobs = [new_job() for _ in range(3)]
    links, (members, batch) = new_chain(2), new_batch(2, "then")
    await store.insert([*jobs, *links, *members, new_job(delay=3600.0), new_job(queue="other")], batches=[batch])
    by_id = {job.id: job for job in (await claim(store, 100)).jobs}
    assert len(by_id) == 6
    assert await asyncio.to_thread(store.extend, {done.id: by_id[done.id].token}, LEASE) == frozenset()
    outcomes = {done.id: Completed('"egg"'), failed.id: Failed(ERROR), again.id: Retry(3600.0, ERROR)}
    lost = await store.settle([Settlement(job, outcomes.get(job.id, Completed())) for job in by_id.values()])
    assert lost == frozenset()
    assert await calls(store) == ["then"]
    assert [job.id for job in (await claim(store)).jobs] == [links[1].id]
    await store.retry(failed.id)
    await store.cancel(again.id, "why")
    await store.pause("other")
    assert (await claim(store, queue="other")).jobs == ()
    await store.resume("other")
    assert (await store.purge("other", 10)).deleted == 1
    assert (await store.rescue(10, MAX_DEATHS)).returned == 0
    await settle_all(store, (await claim(store)).jobs, Completed())
    assert (await store.prune(0.0, 100)).deleted > 0
    it = (await store.stats())["default"]
    assert (it.pending, it.scheduled, it.processing, it.completed, it.failed, it.cancelled) == (0, 1, 2, 1, 0, 0)
    assert len((await store.jobs(JobFilter(), 100)).records) == 4


async def test_a_blocking_session_of_another_driver_is_joined(store: SqlStore, driver: str) -> None:
    name, blocking = DRIVERS[driver]
    jobs = [new_job(), new_job()]

    def dispatch() -> None:
        engine = create_engine(room(name).url.set(drivername=blocking))
        with Session(engine) as session:
            store.insert_blocking(jobs, within=store.join(session))
            session.commit()
        engine.dispose()

    await asyncio.to_thread(dispatch)
    assert {job.id for job in (await claim(store)).jobs} == {job.id for job in jobs}
