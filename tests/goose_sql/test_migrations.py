"""Tests of goose_sql.migrations: tables made, upgraded and checked, each module with a version table of its own."""

from __future__ import annotations

import asyncio
import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, inspect, text

from goose import Module
from goose_sql import Database, Tables
from goose_sql.errors import (
    ConfigError,
    MigrationFailed,
    MissingMigrations,
    NewerDatabase,
    PendingMigrations,
)
from goose_sql.migrations import check, migrate, pending, revise
from goose_sql.tables import tables_of


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package ``shop`` that can be imported."""
    folder = tmp_path / "source" / "shop"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder.parent)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def orders(*columns: Any) -> Tables:
    metadata = MetaData()
    Table("orders", metadata, Column("id", Integer, primary_key=True), *columns)
    return Tables("OrdersModule", metadata, "shop.migrations")


async def table_names(database: Database) -> set[str]:
    return set(await database.read(lambda connection: inspect(connection).get_table_names()))


async def test_without_migrations(database: Database, eggs: Any) -> None:
    """Tables without versions are made as they are, once, and nobody keeps a version of them."""
    metadata = MetaData()
    Table("nests", metadata, Column("id", Integer, primary_key=True))
    tables = (Tables("NestsModule", metadata), Tables("EggsModule", eggs.metadata))
    assert await pending(database, tables) == ("NestsModule",)
    assert await migrate(database, tables) == ("NestsModule",)
    assert await migrate(database, tables) == ()
    await check(database, tables)
    assert await table_names(database) == {"eggs", "nests"}


async def test_the_whole_way(database: Database, package: Path) -> None:
    """A version is written from the metadata, migrated, and followed by the next; nothing new writes nothing."""
    first = orders()
    path = await revise(database, first, "Orders begin")
    assert path is not None
    assert path.parent == package / "migrations"
    assert path.name.endswith("_orders_begin.py")
    with pytest.raises(PendingMigrations) as refusal:
        await check(database, (first,))
    assert str(refusal.value) == f"{database.url} lacks migrations of OrdersModule. Run: goose db migrate"
    with pytest.raises(PendingMigrations):
        await revise(database, first, "too early")
    assert await migrate(database, (first,)) == ("OrdersModule",)
    assert await table_names(database) == {"eggs", "orders", "goose_version_orders_module"}
    assert await revise(database, first, "nothing new") is None

    second = orders(Column("price", Integer, nullable=True))
    assert await revise(database, second, "Orders have a price") is not None
    assert await migrate(database, (second,)) == ("OrdersModule",)
    assert await migrate(database, (second,)) == ()
    await database.write(lambda connection: connection.execute(text("INSERT INTO orders (price) VALUES (3)")))
    assert await revise(database, second, "By hand", empty=True) is not None
    assert await migrate(database, (second,)) == ("OrdersModule",)
    assert len(list((package / "migrations").glob("2*.py"))) == 3


async def test_what_was_migrated_is_logged(database: Database, package: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once, by whoever did it."""
    caplog.set_level("INFO", "goose_sql")
    tables = orders()
    await revise(database, tables, "Orders begin")
    for _ in range(2):
        await migrate(database, (tables,))
    assert [record.message for record in caplog.records if record.name == "goose_sql"] == [
        "made or upgraded the tables of OrdersModule"
    ]


async def test_what_is_written(database: Database, package: Path) -> None:
    """A version is a plain Alembic file that names its tables, and only its module's."""
    path = await revise(database, orders(Column("item", String(9), unique=True)), "Orders")
    if path is None:
        raise AssertionError(path)
    source = path.read_text()
    compile(source, str(path), "exec")
    assert source.startswith('"""Orders\n\nRevision: ')
    assert "op.create_table('orders'," in source
    assert "op.drop_table('orders')" in source
    assert "eggs" not in source


async def test_first_version_of_tables_that_are_there(database: Database, package: Path) -> None:
    """The first version starts from nothing, though create_all has made the tables before."""
    tables = orders()
    await database.write(tables.metadata.create_all)
    path = await revise(database, tables, "Orders")
    assert path is not None
    assert "create_table" in path.read_text()


async def test_many_at_once(path: Path, package: Path) -> None:
    """Processes that start together migrate once, one after the other."""
    tables = orders()
    async with Database("sqlite://") as scratch:
        await revise(scratch, tables, "Orders")
    databases = [Database(f"sqlite:///{path}") for _ in range(4)]
    await asyncio.gather(*(database.open() for database in databases))
    done = await asyncio.gather(*(migrate(database, (tables,)) for database in databases))
    assert sorted(done) == [(), (), (), ("OrdersModule",)]
    for database in databases:
        await check(database, (tables,))
        await database.close()


def version(package: Path, body: str, number: int = 1) -> None:
    folder = package / "migrations"
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").touch()
    down = f"'{number - 1:04}'" if number > 1 else None
    head = f"import sqlalchemy as sa\nfrom alembic import op\nrevision = '{number:04}'\ndown_revision = {down}\n"
    (folder / f"{number:04}.py").write_text(
        head + f"def upgrade():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    )
    importlib.invalidate_caches()


async def test_all_or_nothing(database: Database, package: Path) -> None:
    """A step that fails undoes the steps and modules before it."""
    version(package, "op.create_table('orders', sa.Column('id', sa.Integer))")
    version(package, "op.execute('CREATE nonsense')", number=2)
    metadata = MetaData()
    Table("nests", metadata, Column("id", Integer, primary_key=True))
    with pytest.raises(MigrationFailed) as failure:
        await migrate(database, (Tables("NestsModule", metadata), orders()))
    assert str(failure.value) == 'Migrating OrdersModule failed: near "nonsense": syntax error.'
    assert await table_names(database) == {"eggs"}


async def test_foreign_keys(database: Database, package: Path) -> None:
    """A table that is made anew keeps the rows that refer to it; rows left without what they refer to are refused."""
    metadata = MetaData()
    nests = Table("nests", metadata, Column("id", Integer, primary_key=True), Column("name", String))
    Table("birds", metadata, Column("nest", ForeignKey(nests.c.id, ondelete="CASCADE")))
    await database.write(metadata.create_all)
    await database.write(lambda connection: connection.execute(text("INSERT INTO nests VALUES (1, 'a')")))
    await database.write(lambda connection: connection.execute(text("INSERT INTO birds VALUES (1)")))
    version(package, "with op.batch_alter_table('nests', recreate='always') as nests:\n    nests.drop_column('name')")
    await migrate(database, (orders(),))
    assert await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM birds"))) == 1

    version(package, "op.execute('DELETE FROM nests')", number=2)
    with pytest.raises(MigrationFailed) as failure:
        await migrate(database, (orders(),))
    assert str(failure.value) == "Migrating table birds failed: rows refer to what is not in nests."
    assert await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM nests"))) == 1


async def test_options(database: Database, package: Path) -> None:
    """A version sees its module's options."""
    version(package, "op.create_table(op.get_context().opts['prefix'] + 'jobs', sa.Column('id', sa.Integer))")
    tables = Tables("QueuesModule", MetaData(), "shop.migrations", options={"prefix": "my_"})
    await migrate(database, (tables,))
    assert await table_names(database) == {"eggs", "my_jobs", "goose_version_queues_module"}


async def test_newer_database(database: Database, package: Path) -> None:
    """Code that meets a version it does not know refuses to go on."""
    version(package, "pass")
    await migrate(database, (orders(),))
    version(package, "pass", number=2)
    await migrate(database, (orders(),))
    (package / "migrations" / "0002.py").unlink()
    for use in (check, migrate, pending):
        with pytest.raises(NewerDatabase) as refusal:
            await use(database, (orders(),))
        assert str(refusal.value) == (
            f"{database.url} has version 0002 of OrdersModule, which this code does not know. "
            "It was migrated by newer code: update this process."
        )


async def test_missing(database: Database, package: Path) -> None:
    """A package of versions that is not there, and a module that names none, are told apart."""
    with pytest.raises(MissingMigrations) as refusal:
        await migrate(database, (orders(),))
    assert str(refusal.value) == (
        "OrdersModule: its migrations 'shop.migrations' cannot be imported: No module named 'shop.migrations'."
    )
    with pytest.raises(MissingMigrations) as other:
        await revise(database, Tables("EggsModule", MetaData()), "eggs")
    assert str(other.value) == (
        'EggsModule: it names no place for its versions. Give it migrations = "package.migrations".'
    )


class Plain(Module): ...


class Stored(Module):
    metadata = MetaData()
    migrations = "shop.migrations"


class OwnWay(Module):
    def tables_to_migrate(self) -> Tables:
        return Tables("OwnWay", MetaData(), url="sqlite:///own.db")


def test_tables_of() -> None:
    """Modules have tables by metadata or by working them out; a module that is there twice counts once."""
    found = tables_of([Plain(), Stored(), Stored(), OwnWay()])
    assert [(each.owner, each.version_table, each.url) for each in found] == [
        ("Stored", "goose_version_stored", None),
        ("OwnWay", "goose_version_own_way", "sqlite:///own.db"),
    ]


def test_wrong_tables() -> None:
    """Metadata and migrations of the wrong kind, and two modules of one name, are refused with what to write."""

    class NoMetadata(Module):
        migrations = "shop.migrations"

    class NoPackage(Module):
        metadata = MetaData()
        migrations = "shop/migrations"

    twin = type("Stored", (Module,), {"metadata": MetaData(), "__module__": "elsewhere"})
    for modules, sentence in (
        ([NoMetadata()], "NoMetadata.metadata is None: it must be a MetaData, as in metadata = Base.metadata."),
        (
            [NoPackage()],
            "NoPackage.migrations is 'shop/migrations': it must name a package, as in \"app.orders.migrations\".",
        ),
        (
            [Stored(), twin()],
            f"{__name__}.Stored and elsewhere.Stored have the same name and both have tables: rename one.",
        ),
    ):
        with pytest.raises(ConfigError) as refusal:
            tables_of(modules)
        assert str(refusal.value) == sentence
