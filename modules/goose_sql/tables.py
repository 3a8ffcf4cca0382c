"""What the modules of an application keep in databases, and in which: read from the modules, run by ``migrations``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from sqlalchemy import Connection, MetaData

from goose.declaration import snake_case
from goose.module import Module
from goose_sql.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one module, and how they are made."""

    owner: str
    """The module's class name."""
    metadata: MetaData
    migrations: str | None = None
    """The package that holds its Alembic versions; None: the tables are made from ``metadata`` as they are."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What a version may ask for as ``op.get_context().opts``."""
    url: str | None = None
    """Where they are; None: in the application's own database."""
    otherwise: str | None = None
    """Where they are when the application has no database of its own."""
    prefix: str = "goose_"
    """What the name of the table that holds the version begins with."""
    schema: str | None = None
    """Where that table is, on a server; a schema that is missing is made."""
    is_current: Callable[[Connection], bool] | None = None
    """Asked where that table says too little: whether somebody else, by migrations of a project's own, has done it all."""
    at_boot: bool = True
    """Whether ``SqlModule`` sees to them at boot; False: their owner does, and ``goose db`` as well."""

    @property
    def version_table(self) -> str:
        """The table that says which of the versions a database has."""
        return f"{self.prefix}version_{snake_case(self.owner)}"


@runtime_checkable
class HasTables(Protocol):
    """A module that works its tables out by itself, where others just have ``metadata`` and ``migrations``."""

    def tables_to_migrate(self) -> Tables | None:
        """Its tables; None where it has none."""
        ...


def tables_of(modules: Iterable[Module]) -> tuple[Tables, ...]:
    """The tables of every module that has some, in the modules' order.

    Raises:
        ConfigError: Two modules would share a version table, or one names what is no metadata.
    """
    found: dict[str, tuple[type[Module], Tables]] = {}
    for module in modules:
        tables = _tables(module)
        if tables is None:
            continue
        other, _ = found.setdefault(tables.owner, (type(module), tables))
        if other is not type(module):
            raise ConfigError(
                f"{_place(other)} and {_place(type(module))} have the same name and both have tables: rename one."
            )
    return tuple(tables for _, tables in found.values())


def _tables(module: Module) -> Tables | None:
    if isinstance(module, HasTables):
        return module.tables_to_migrate()
    name, metadata, migrations = str(module), getattr(module, "metadata", None), getattr(module, "migrations", None)
    if metadata is None and migrations is None:
        return None
    if not isinstance(metadata, MetaData):
        raise ConfigError(f"{name}.metadata is {metadata!r}: it must be a MetaData, as in metadata = Base.metadata.")
    if migrations is not None and not (isinstance(migrations, str) and _is_dotted(migrations)):
        raise ConfigError(
            f'{name}.migrations is {migrations!r}: it must name a package, as in "app.orders.migrations".'
        )
    return Tables(type(module).__name__, metadata, migrations)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
