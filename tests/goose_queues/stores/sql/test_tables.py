"""The tables: their names, and that the migrations make just what the statements are built from."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, create_engine, inspect

from goose_queues.clock import Clock
from goose_queues.errors import ConfigError
from goose_queues.stores.sql.store import SqlStore
from goose_queues.stores.sql.tables import Tables, queue_tables
from goose_sql import Database
from servers.shared import SERVERS, room

from .conftest import Hand

INDEXES = "select name, sql from sqlite_master where type = 'index' and sql > '' order by name"


@pytest.mark.parametrize("prefix", ["", "Goose_", "1goose_", "goose-", "goose_; drop table x", "g" * 33, "gänse_"])
def test_a_prefix_that_is_no_identifier_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        queue_tables(prefix)
    assert str(caught.value) == f"prefix={prefix!r}: use lower-case letters, digits and _, at most 32, no digit first"


def test_a_schema_that_is_no_identifier_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        queue_tables(schema="a.b")
    assert str(caught.value) == "schema='a.b': use lower-case letters, digits and _, at most 32, no digit first"


def test_the_tables_can_be_a_part_of_a_projects_own_metadata() -> None:
    metadata = MetaData()
    queue_tables("mine_", "queue", metadata)
    words = ("batches", "callbacks", "counts", "jobs", "layout", "paused")
    assert sorted(metadata.tables) == [f"queue.mine_{word}" for word in words]


async def test_the_migrations_make_what_the_metadata_says(store: SqlStore, hand: Hand) -> None:
    def difference(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or name in ours},
        )
        return list(compare_metadata(context, tables.metadata))

    tables = queue_tables()
    ours = set(tables.metadata.tables)
    assert await store._database.read(difference) == []

    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        tables.metadata.create_all(connection)
        wanted = connection.exec_driver_sql(INDEXES)
        indexes = dict(tuple(row) for row in wanted)
    engine.dispose()
    assert dict(hand(INDEXES)) == indexes


@pytest.mark.parametrize("name", SERVERS)
async def test_the_migrations_make_on_a_server_what_the_metadata_says(name: str) -> None:
    there = room(name)
    there.clear()
    store = SqlStore(Database(there.url), Clock(), owns_database=True, auto_migrate=True)
    await store.open()
    tables = store._layout.tables
    try:
        migrated = await store._database.read(lambda it: described(it, tables))
        there.clear()
        await store._database.write(tables.metadata.create_all)
        assert await store._database.read(lambda it: described(it, tables)) == migrated
        assert {found["table"] for found in migrated} == set(tables.metadata.tables)
    finally:
        await store.close()
        there.clear()


def described(connection: Connection, tables: Tables) -> list[dict[str, Any]]:
    """The columns and indexes that a database says it has, whatever their order."""
    found: list[dict[str, Any]] = []
    for table in tables.metadata.sorted_tables:
        seen = inspect(connection)
        columns = seen.get_columns(table.name)
        indexes = sorted(seen.get_indexes(table.name), key=lambda index: str(index["name"]))
        found += [{"table": table.name, **column, "type": repr(column["type"])} for column in columns]
        found += [{"table": table.name, **index} for index in indexes]
        found.append({"table": table.name, "key": seen.get_pk_constraint(table.name)["constrained_columns"]})
        found.append({"table": table.name, "options": seen.get_table_options(table.name)})
    return sorted(found, key=repr)
