"""A store on a database that belongs to the application."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from goose_queues.clock import Clock
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database, unit_of
from store_contract.making import new_job


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
