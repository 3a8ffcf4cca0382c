"""The steps of the layout: up from any older one with every job kept, and down again."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, inspect, make_url, text

import goose
from goose import Module
from goose_queues import Client, Job, JobContext, QueuesModule
from goose_queues.clock import Clock
from goose_queues.errors import ConfigError, LayoutMismatch
from goose_queues.record import Completed
from goose_queues.stores.sql import migrations
from goose_queues.stores.sql.migrate import owned_tables
from goose_queues.stores.sql.store import SqlStore
from goose_queues.stores.sql.tables import queue_tables
from goose_queues.stores.sql.version import version_of
from goose_sql import Database, Tables
from goose_sql.errors import MigrationFailed
from goose_sql.migrations import _environment, _scripts, check, migrate, pending
from servers.shared import DATABASES, connect
from store_contract.making import claim_one, complete_only, new_chain, settle, statuses
from waiting import wait_until

SCHEMA = f"goose_test_{os.getpid()}"
"""On MySQL it is a database beside the others."""

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


def names(connection: Connection) -> tuple[set[str], set[str]]:
    found = inspect(connection)
    return set(found.get_table_names()), {str(index["name"]) for index in found.get_indexes("goose_jobs")}


async def test_jobs_of_layout_1_run_on_the_newest(clear: Callable[[], str]) -> None:
    async with Database(clear()) as database:
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


async def test_the_way_back_keeps_the_jobs(clear: Callable[[], str]) -> None:
    async with Database(clear()) as database:
        store = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await store.open()
        await database.write(lambda connection: connection.exec_driver_sql(OLD_JOB) and None)
        await store.close()
        await to_layout(database, "0001", down=True)
        tables, indexes = await database.read(names)
        assert {"goose_jobs", "goose_batches", "goose_callbacks", "goose_paused"} & tables == {"goose_jobs"}
        assert "ix_goose_jobs_chain" not in indexes
        again = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await again.open()
        assert (await claim_one(again)).id == "old-one"
        await again.close()


class Killed(Exception): ...


@contextmanager
def killed_after_a_change() -> Iterator[list[str]]:
    """End each migration right after it has made, altered or dropped something."""
    done: list[str] = []

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.lstrip().startswith(("CREATE", "ALTER", "DROP")):
            done.append(statement)
            raise Killed

    event.listen(Engine, "after_cursor_execute", look)
    try:
        yield done
    finally:
        event.remove(Engine, "after_cursor_execute", look)


async def test_a_migration_that_dies_halfway_is_gone_on_with(empty: Database) -> None:
    """Where a transaction undoes it nothing is left; MySQL keeps each change, and no two are made twice."""
    made: list[str] = []
    with killed_after_a_change() as done:
        while await pending(empty, (owned_tables(),)):
            done.clear()
            try:
                await migrate(empty, (owned_tables(),))
            except Killed:
                made += done
            if len(made) > 1 and made[-1] == made[-2]:
                break
    assert await migrate(empty, (owned_tables(),)) in {("QueuesModule",), ()}
    await check(empty, (owned_tables(),))
    if empty.dialect == "mysql":
        assert len(made) == len(set(made)) > 12
    else:
        assert set(made) == {made[0]}


async def test_processes_that_migrate_together_do_it_once(clear: Callable[[], str]) -> None:
    databases = [Database(url) for url in [clear()] * 4]
    await asyncio.gather(*(database.open() for database in databases))
    done = await asyncio.gather(*(migrate(database, (owned_tables(),)) for database in databases))
    assert sorted(done) == [(), (), (), ("QueuesModule",)]
    for database in databases:
        await check(database, (owned_tables(),))
        await database.close()


class Work(Job):
    async def handle(self, ctx: JobContext) -> None: ...


class WorkModule(Module):
    declarations = (Work,)


NEXT = """
import sqlalchemy as sa
from alembic import op
from goose_queues.stores.sql import steps

revision, down_revision = "0003", "0002"

def upgrade():
    op.get_context().opts["begun"].append("once more")
    steps.add_column("jobs", sa.Column("flavour", sa.String(9)))
    steps.create_index("jobs", "flavour", None, "flavour")
    steps.say(3, oldest=2)
"""


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """The tables of code that has one more step."""
    folder = tmp_path / "newer_steps"
    shutil.copytree(Path(migrations.__path__[0]), folder)
    (folder / "0003_flavour.py").write_text(NEXT)
    monkeypatch.syspath_prepend(tmp_path)
    ours = owned_tables()
    return Tables(ours.owner, ours.metadata, "newer_steps", {**ours.options, "begun": []}, at_boot=False)


@pytest.mark.parametrize("clear", DATABASES, indirect=True)
async def test_workers_go_on_while_newer_code_migrates(clear: Callable[[], str], newer: Tables) -> None:
    """Also while somebody's open transaction keeps the migration from the jobs table, and afterwards with the new layout."""
    url = clear()
    app = goose.worker(WorkModule, [QueuesModule(url=url, auto_migrate=True)])
    async with goose.running(app, background=True) as kernel, Database(url) as database:

        async def work() -> None:
            await (await kernel.get(Client).dispatch(Work())).result(timeout=30)

        await work()
        with closing(connect(make_url(url))) as somebody:
            with somebody.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT count(*) FROM goose_jobs")
            begun: list[str] = newer.options["begun"]
            migrating = asyncio.create_task(migrate(database, (newer,)))
            await wait_until(lambda: len(begun) > 1)
            await work()
            assert not migrating.done()
        assert await migrating == ("QueuesModule",)
        await work()
        version = await database.read(lambda connection: version_of(connection, queue_tables()))
        assert version is not None
        assert (version.number, version.oldest, version.is_workable) == (3, 2, True)
        assert "flavour" in await database.read(columns)
        assert await migrate(database, (newer,)) == ()
    async with goose.running(app):
        pass


def columns(connection: Connection) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns("goose_jobs")}


@pytest.mark.parametrize("clear", DATABASES, indirect=True)
async def test_a_schema_is_made_where_it_is_missing(clear: Callable[[], str]) -> None:
    async with Database(clear()) as database:
        tables = queue_tables("mine_", SCHEMA, dialect=database.dialect)
        try:
            assert await migrate(database, (owned_tables(tables),)) == ("QueuesModule",)
            assert await migrate(database, (owned_tables(tables),)) == ()
            await check(database, (owned_tables(tables),))
            there = await database.read(lambda it: inspect(it).get_table_names(schema=SCHEMA))
            assert {"mine_jobs", "mine_version_queues_module"} < set(there)
            assert await database.read(lambda it: inspect(it).get_table_names()) == []
            store = SqlStore(database, Clock(), owns_database=False, auto_migrate=False, prefix="mine_", schema=SCHEMA)
            await store.open()
            links = new_chain(2)
            await store.insert(links)
            await complete_only(store, links[0])
            assert await statuses(store, links) == ["completed", "pending"]
            await store.close()
        finally:
            cascade = " CASCADE" if database.dialect == "postgresql" else ""
            await database.alter(lambda it: it.execute(text(f"DROP SCHEMA {SCHEMA}{cascade}")))


async def test_sqlite_has_no_schemas(file: Path) -> None:
    async with Database(f"sqlite:///{file}") as database:
        with pytest.raises(MigrationFailed) as refusal:
            await migrate(database, (owned_tables(queue_tables("mine_", "other")),))
        assert str(refusal.value) == "Migrating QueuesModule failed: SQLite has no schemas: leave 'other' out."
        with pytest.raises(ConfigError) as caught:
            SqlStore(database, Clock(), owns_database=False, auto_migrate=True, schema="other")
        assert str(caught.value) == (
            "table_schema='other': SQLite has no schemas; use table_prefix, or a file of its own"
        )
