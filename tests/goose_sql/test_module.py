"""Tests of SqlModule in an application: configuration, boot, sessions of requests, readiness."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import goose
from goose import Module, Scope, declare, worker
from goose_sql import Database, SqlModule, open_units
from goose_sql.errors import BadUrl, ConfigError, DatabaseUnavailable, PendingMigrations


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(unique=True)


@dataclass
class OrderService:
    session: AsyncSession

    async def create(self, item: str) -> None:
        await self.session.scalar(select(func.count(Order.id)))
        self.session.add(Order(item=item))
        await self.session.flush()
        await open_units()[-1].run(lambda connection: connection.execute(select(1)))


class OrdersModule(Module):
    declarations = (declare(OrderService, lifetime="scoped"),)
    exports = (OrderService,)
    metadata = Base.metadata


@pytest.fixture
def sql(path: Path) -> SqlModule:
    return SqlModule(url=f"sqlite:///{path}")


async def items(database: Database) -> int:
    async with database.session() as session:
        return await session.scalar(select(func.count(Order.id))) or 0


async def test_a_unit_of_work_for_each_scope(sql: SqlModule) -> None:
    """Fifty scopes at once each have a session of their own, committed at the end or rolled back on an error."""
    app = worker(OrdersModule, [sql])
    async with goose.running(app) as kernel:

        async def one(number: int) -> None:
            async with kernel.scope() as scope:
                service = kernel.view(kernel.root).get(OrderService, scope)
                assert service.session is kernel.get(AsyncSession)
                await service.create(str(number))
                if number % 5 == 0:
                    raise LookupError(number)

        results = await asyncio.gather(*(one(number) for number in range(50)), return_exceptions=True)
        assert sum(isinstance(result, LookupError) for result in results) == 10
        assert [result for result in results if result and not isinstance(result, LookupError)] == []
        assert await items(kernel.get(Database)) == 40


async def test_boot_again(sql: SqlModule) -> None:
    """An application can be booted again on the same module, and twice at a time."""
    app = worker(OrdersModule, [sql])
    for number in range(2):
        async with goose.running(app) as kernel, kernel.scope() as scope:
            await kernel.view(kernel.root).get(OrderService, scope).create(str(number))
    async with goose.running(app) as one, goose.running(worker(OrdersModule, [sql])) as two:
        assert one.get(Database) is not two.get(Database)
        assert await items(two.get(Database)) == 2


async def test_readiness(sql: SqlModule, path: Path) -> None:
    """The module is ready while its database answers, and says what is wrong when it does not."""
    async with goose.running(worker(OrdersModule, [sql])) as kernel:
        assert (await kernel.check())["SqlModule"] is None
        await kernel.get(Database).close()
        assert (await kernel.check())["SqlModule"] == (
            f"The database sqlite:///{path} is not open: it was closed, or open() was not awaited yet."
        )


async def test_without_auto_migrate(path: Path) -> None:
    """Where boot is not to migrate, it refuses to start without its tables, and leaves no thread behind."""
    with pytest.raises(PendingMigrations) as refusal:
        async with goose.running(worker(OrdersModule, [SqlModule(f"sqlite:///{path}", auto_migrate=False)])):
            pass
    assert str(refusal.value) == f"sqlite:///{path} lacks migrations of OrdersModule. Run: goose db migrate"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("goose-sql")]
    async with goose.running(worker(OrdersModule, [SqlModule(f"sqlite:///{path}")])):
        pass
    async with goose.running(worker(OrdersModule, [SqlModule(f"sqlite:///{path}", auto_migrate=False)])):
        pass


async def test_unusable(tmp_path: Path) -> None:
    """A database that cannot be opened keeps the application from starting, in one sentence."""
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(DatabaseUnavailable, match="Does its folder exist, and may this process write there"):
        async with goose.running(worker(OrdersModule, [SqlModule(f"sqlite:///{tmp_path}/folder.db")])):
            pass


async def test_failing_commit_is_the_scopes_error(sql: SqlModule, path: Path) -> None:
    """What the commit at a scope's end meets is raised where the scope was opened."""
    async with goose.running(worker(OrdersModule, [sql])) as kernel:

        async def one() -> None:
            async with kernel.scope() as scope:
                session = kernel.view(kernel.root).get(OrderService, scope).session
                session.add(Order(item="twice"))
                session.add(Order(item="twice"))

        with pytest.raises(Exception, match="UNIQUE constraint failed"):
            await one()
        assert await items(kernel.get(Database)) == 0


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL comes from DATABASE_URL, other options from GOOSE_SQL_*; arguments win."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:///one.db")
    monkeypatch.setenv("GOOSE_SQL_SYNCHRONOUS", "normal")
    monkeypatch.setenv("GOOSE_SQL_POOL_SIZE", "3")
    settings = SqlModule(pool_size=4).settings
    assert (settings.url, settings.synchronous, settings.pool_size) == ("sqlite:///one.db", "normal", 4)
    assert SqlModule("sqlite:///two.db").settings.url == "sqlite:///two.db"


def test_wrong_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong options are refused together, when the module is made, without showing the URL's password."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    wrong: Any = {"synchronous": "off", "busy_timeout": 0}
    with pytest.raises(ConfigError) as refusal:
        SqlModule(**wrong)
    assert str(refusal.value) == (
        "SqlModule: url is missing. Pass url= or set $DATABASE_URL; "
        'synchronous=\'off\' is not allowed; it is "full" or "normal"; '
        "busy_timeout=0 is not allowed; it is seconds above 0, at most 3600"
    )
    with pytest.raises(BadUrl) as other:
        SqlModule("oracle://u:s3cret@h/d")
    assert "s3cret" not in str(other.value)
    assert "s3cret" not in repr(SqlModule("sqlite:///a.db?key=s3cret").settings)


async def test_private(sql: SqlModule) -> None:
    """A private database lives as long as the application, tables and all."""
    async with goose.running(worker(OrdersModule, [SqlModule("sqlite://")])) as kernel:
        database = kernel.get(Database)
        async with database.session() as session, session.begin():
            session.add(Order(item="egg"))
        path = Path(str(database.engine.url.database))
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        other.close()
    assert not path.exists()


async def test_session_without_the_kernel(database: Database) -> None:
    """A scope opened by hand has a session as well."""
    await database.write(Base.metadata.create_all)
    async with Scope() as scope:
        database.session_of(scope).add(Order(item="egg"))
    assert await items(database) == 1
