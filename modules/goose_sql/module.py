"""SqlModule: a database for an application. The only place of goose_sql that knows the kernel's wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy.ext.asyncio import AsyncSession

from goose import Kernel, Module, Scope, declare
from goose_sql.config import SqlSettings
from goose_sql.database import Database
from goose_sql.sqlite import Synchronous
from goose_sql.tables import tables_of


class DatabaseCommands(Module):
    """Gives an application ``goose db``; imported by modules that have tables but no ``SqlModule``."""

    commands = "goose_sql.commands:db"


class SqlModule(Module):
    """The application's database: ``Database``, and an ``AsyncSession`` for each request and each job attempt.

    Every option comes from the environment as well, as ``GOOSE_SQL_<OPTION>``; an argument wins.

    Args:
        url: What ``Database`` takes; else ``$DATABASE_URL``.
        synchronous: SQLite: ``"full"`` (durable at a power cut) or ``"normal"`` (durable at a crash of the process).
        busy_timeout: SQLite: seconds to wait for the write lock; 30.
        pool_size: Connections at most, on a server at least 2; 10.
        auto_migrate: Whether boot makes and upgrades the tables of every module; None: on SQLite yes, on servers no.
        echo: Log every statement.

    Raises:
        ConfigError: Options are wrong; all of them are named.
        MissingDriver: The URL's driver is not installed.
        SmallPool: The pool is too small for a server.
    """

    is_global = True
    commands = "goose_sql.commands:db"

    def __init__(
        self,
        url: str | None = None,
        *,
        synchronous: Synchronous | None = None,
        busy_timeout: float | None = None,
        pool_size: int | None = None,
        auto_migrate: bool | None = None,
        echo: bool | None = None,
    ) -> None:
        self.settings: Final = SqlSettings(
            url=url,
            synchronous=synchronous,
            busy_timeout=busy_timeout,
            pool_size=pool_size,
            auto_migrate=auto_migrate,
            echo=echo,
        )
        self.new_database()
        self._open: WeakSet[Database] = WeakSet()
        """Of every application that runs with this module, for ``check``."""
        self.declarations = (
            declare(Database, factory=self._opener()),
            declare(AsyncSession, factory=session_of_scope, lifetime="scoped", dispose=False),
        )
        self.exports = (Database, AsyncSession)

    @property
    def migrates(self) -> bool:
        """Whether boot makes and upgrades tables."""
        if self.settings.auto_migrate is None:
            return self.new_database().dialect == "sqlite"
        return self.settings.auto_migrate

    def new_database(self) -> Database:
        """A database as the settings say, not open.

        Raises:
            BadUrl: The URL cannot be used.
            MissingDriver: Its driver is not installed.
        """
        settings = self.settings
        return Database(
            settings.url,
            synchronous=settings.synchronous,
            busy_timeout=settings.busy_timeout,
            pool_size=settings.pool_size,
            echo=settings.echo,
        )

    async def check(self) -> None:
        """Readiness: the database answers."""
        for database in list(self._open):
            await database.check()

    def _opener(self) -> Callable[[Kernel], AsyncIterator[Database]]:
        async def open_database(kernel: Kernel) -> AsyncIterator[Database]:
            async with self.new_database() as database:
                await self._ready(database, kernel.modules)
                self._open.add(database)
                try:
                    yield database
                finally:
                    self._open.discard(database)

        return open_database

    async def _ready(self, database: Database, modules: Iterable[Module]) -> None:
        """Make and upgrade the tables, or refuse to boot without them."""
        ours = tuple(each for each in tables_of(modules) if each.at_boot and each.url is None)
        if not ours:
            return
        # Alembic takes a tenth of a second to import, which an application without tables need not spend.
        from goose_sql.migrations import check, migrate

        await (migrate if self.migrates else check)(database, ours)


def session_of_scope(database: Database, scope: Scope) -> AsyncSession:
    """The session of a request or job attempt."""
    return database.session_of(scope)


def database_of(modules: Iterable[Any]) -> Database | None:
    """The application's own database, not open; None where it has none."""
    return next((module.new_database() for module in modules if isinstance(module, SqlModule)), None)
