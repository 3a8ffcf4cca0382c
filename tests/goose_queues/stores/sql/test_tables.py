"""The tables: their names, and that there is one layout, whoever makes it: our migrations, a project's own, or metadata."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.dialects import mysql

from goose_queues import add_queue_tables
from goose_queues.clock import Clock
from goose_queues.errors import ConfigError, LayoutMismatch
from goose_queues.stores.sql.migrate import owned_tables
from goose_queues.stores.sql.store import SqlStore
from goose_queues.stores.sql.tables import queue_tables
from goose_sql import Database
from goose_sql.migrations import migrate, pending
from store_contract.making import new_job

FACTS = {
    "sqlite": (
        "select m.name, c.name, c.type, c.\"notnull\", coalesce(c.dflt_value, ''), c.pk "
        "from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table' and m.name like 'goose%'",
        "select name, sql from sqlite_master where type = 'index' and sql > ''",
    ),
    "postgresql": (
        "select table_name, column_name, data_type, coalesce(character_maximum_length, 0), is_nullable, "
        "coalesce(column_default, ''), is_identity, coalesce(collation_name, '') "
        "from information_schema.columns where table_schema = current_schema()",
        "select tablename, indexdef from pg_indexes where schemaname = current_schema()",
        "select relname, reloptions::text from pg_class where relkind = 'r' and reloptions is not null",
    ),
    "mysql": (
        "select table_name, column_name, column_type, is_nullable, coalesce(column_default, ''), extra, "
        "coalesce(generation_expression, ''), coalesce(collation_name, '') "
        "from information_schema.columns where table_schema = database()",
        "select table_name, index_name, seq_in_index, column_name, non_unique "
        "from information_schema.statistics where table_schema = database()",
        "select table_name, engine, table_collation from information_schema.tables where table_schema = database()",
    ),
}
"""What there is to say of tables, columns, indexes and how they are stored; not in which order columns stand."""


def facts(connection: Connection) -> list[set[tuple[Any, ...]]]:
    family = "mysql" if connection.dialect.name == "mariadb" else connection.dialect.name
    found = [connection.execute(text(question)).fetchall() for question in FACTS[family]]
    return [{tuple(row) for row in rows if not str(row[0]).startswith("goose_version")} for rows in found]


def difference(metadata: MetaData) -> Callable[[Connection], list[Any]]:
    return lambda connection: list(compare_metadata(context(connection), metadata))


def context(connection: Connection) -> MigrationContext:
    options = {"include_name": lambda name, kind, _: kind != "table" or not name.startswith("goose_version")}
    return MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True, **options}
    )


def by_autogenerate(metadata: MetaData) -> Callable[[Connection], None]:
    """Run what Alembic writes into a project's own version."""

    def run(connection: Connection) -> None:
        made = context(connection)
        upgrade = produce_migrations(made, metadata).upgrade_ops
        assert upgrade is not None
        source = textwrap.dedent(f"    {render_python_code(upgrade, migration_context=made)}")
        # The names that Alembic's template imports, with what it finds to be needed.
        exec(source, {"op": Operations(made), "sa": sqlalchemy, "mysql": mysql})

    return run


def a_projects_own(database: Database, **options: Any) -> MetaData:
    metadata = MetaData()
    add_queue_tables(metadata, database.dialect, **options)
    return metadata


@pytest.mark.parametrize("prefix", ["", "Goose_", "1goose_", "goose-", "goose_; drop table x", "g" * 33, "gänse_"])
def test_a_prefix_that_is_no_identifier_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        queue_tables(prefix)
    assert (
        str(caught.value)
        == f"table_prefix={prefix!r}: use lower-case letters, digits and _, at most 32, no digit first"
    )


def test_a_schema_that_is_no_identifier_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        queue_tables(schema="a.b")
    assert str(caught.value) == "table_schema='a.b': use lower-case letters, digits and _, at most 32, no digit first"


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        add_queue_tables(MetaData(), "oracle")
    assert str(caught.value) == "dialect='oracle': use one of sqlite, postgresql, mysql, mariadb"


def test_the_tables_can_be_a_part_of_a_projects_own_metadata() -> None:
    metadata = MetaData()
    add_queue_tables(metadata, "postgresql", table_prefix="mine_", table_schema="queue")
    words = ("batches", "callbacks", "counts", "jobs", "layout", "paused", "turns")
    assert sorted(metadata.tables) == [f"queue.mine_{word}" for word in words]


async def test_the_migrations_make_what_the_metadata_says(clear: Callable[[], str]) -> None:
    """To the last setting: columns, indexes with their conditions, and how rows are stored."""
    async with Database(clear()) as database:
        await migrate(database, (owned_tables(),))
        assert await database.read(difference(a_projects_own(database))) == []
        migrated = await database.read(facts)
    async with Database(clear()) as database:
        await database.alter(a_projects_own(database).create_all)
        assert await database.read(facts) == migrated
    assert all(migrated)


async def test_a_queue_works_on_tables_of_create_all(empty: Database) -> None:
    """Nothing is left to migrate or to autogenerate."""
    metadata = a_projects_own(empty)
    await empty.alter(metadata.create_all)
    assert await empty.read(difference(metadata)) == []
    assert await pending(empty, (owned_tables(),)) == ()
    await works(empty)


async def test_a_queue_works_on_tables_of_a_projects_own_migrations(empty: Database) -> None:
    """Once they say their version, by the statement that the refusal spells out."""
    metadata = a_projects_own(empty, table_prefix="mine_")
    await empty.alter(by_autogenerate(metadata))
    assert await empty.read(difference(metadata)) == []
    with pytest.raises(LayoutMismatch) as refusal:
        await works(empty, prefix="mine_")
    statement = re.search(r'op\.execute\("(.*)"\)$', str(refusal.value))
    assert statement is not None
    await empty.alter(lambda connection: connection.execute(text(statement[1])))
    assert await pending(empty, (owned_tables(queue_tables("mine_")),)) == ()
    await works(empty, prefix="mine_")


async def test_goose_db_migrate_takes_over_tables_of_a_projects_own(empty: Database) -> None:
    """It goes through its steps, finds everything there, and writes down the version."""
    await empty.alter(by_autogenerate(a_projects_own(empty)))
    before = await empty.read(facts)
    assert await migrate(empty, (owned_tables(),)) == ("QueuesModule",)
    assert await empty.read(facts) == before
    await works(empty)


async def works(database: Database, **options: Any) -> None:
    store = SqlStore(database, Clock(), owns_database=False, auto_migrate=False, **options)
    await store.open()
    try:
        await store.insert([new_job()])
        assert (await store.stats())["default"].pending == 1
    finally:
        await store.close()
