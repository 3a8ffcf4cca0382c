"""The steps of the layout: up from any older one with every job kept, and down again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from goose_queues.clock import Clock
from goose_queues.errors import LayoutMismatch
from goose_queues.record import Completed
from goose_queues.stores.sql.migrate import owned_tables
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from goose_sql.migrations import _environment, _scripts
from store_contract.making import claim_one, complete_only, new_chain, settle, statuses

OLD_JOB = """insert into goose_jobs (id, queue, state, priority, due_at, name, max_retries, created_at, payload)
values ('old-one', 'default', 'ready', 1, 1, 'Work', 3, 1, '{}')"""


async def to_layout(database: Database, revision: str, *, down: bool = False) -> None:
    """Bring the tables to a layout that this code is not for."""
    tables = owned_tables()
    scripts = _scripts(tables)

    def steps(current: Any, _: object) -> Any:
        return (scripts._downgrade_revs if down else scripts._upgrade_revs)(revision, current)

    def run(connection: Connection) -> None:
        with _environment(scripts, tables, connection, fn=steps) as environment:
            environment.run_migrations()

    await database.alter(run)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'queue.db'}"


async def test_jobs_of_layout_1_run_on_the_newest(url: str) -> None:
    async with Database(url) as database:
        await to_layout(database, "0001")
        await database.write(lambda connection: connection.exec_driver_sql(OLD_JOB) and None)
        with pytest.raises(LayoutMismatch) as caught:
            await SqlStore(database, Clock(), owns_database=False, auto_migrate=False).open()
        assert (caught.value.found, caught.value.known) == (1, 2)
        store = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await store.open()
        claimed = await claim_one(store)
        assert (claimed.id, claimed.attempt) == ("old-one", 1)
        assert await settle(store, claimed, Completed()) == frozenset()
        links = new_chain(2)
        await store.insert(links)
        await complete_only(store, links[0])
        await complete_only(store, links[1])
        assert await statuses(store, links) == ["completed", "completed"]
        await store.close()


async def test_the_way_back_keeps_the_jobs(url: str) -> None:
    async with Database(url) as database:
        store = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await store.open()
        await database.write(lambda connection: connection.exec_driver_sql(OLD_JOB) and None)
        await store.close()
        await to_layout(database, "0001", down=True)
        names = await database.read(
            lambda connection: connection.exec_driver_sql("select name from sqlite_master order by 1").fetchall()
        )
        assert not {"goose_batches", "goose_callbacks", "goose_paused", "ix_goose_jobs_chain"} & {n for (n,) in names}
        again = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await again.open()
        assert (await claim_one(again)).id == "old-one"
        await again.close()
