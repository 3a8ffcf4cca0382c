"""What the versions in ``migrations`` are made of: changes that leave alone what is there already.

MySQL commits each change by itself, so that a version whose process has died halfway is gone through once more; and tables
that a project's own migrations have made are taken as they are.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

LONG: Final = sa.Text().with_variant(mysql.LONGTEXT(collation="utf8mb4_bin"), "mysql", "mariadb")
REAL: Final = sa.Float().with_variant(mysql.DOUBLE(), "mysql", "mariadb")
_OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


def key(length: int) -> sa.types.TypeEngine[str]:
    """A short text that is compared by its characters' codes."""
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(sa.String(length, collation="utf8mb4_bin"), "mysql", "mariadb")
    )


def is_mysql() -> bool:
    """Whether this is MySQL or MariaDB."""
    return op.get_bind().dialect.name in ("mysql", "mariadb")


def is_sqlite() -> bool:
    """Whether this is SQLite."""
    return op.get_bind().dialect.name == "sqlite"


def create_table(word: str, *parts: Any, **options: Any) -> None:
    """Make a table, unless it is there."""
    prefix, schema = place()
    if not sa.inspect(op.get_bind()).has_table(f"{prefix}{word}", schema=schema):
        op.create_table(f"{prefix}{word}", *parts, schema=schema, **_OPTIONS, **options)


def add_column(word: str, column: sa.Column[Any]) -> None:
    """Add a column to a table, unless it is there."""
    prefix, schema = place()
    existing = sa.inspect(op.get_bind()).get_columns(f"{prefix}{word}", schema=schema)
    if column.name not in {each["name"] for each in existing}:
        op.add_column(f"{prefix}{word}", column, schema=schema)


def create_index(table: str, name: str, condition: str | None, *columns: str | sa.TextClause) -> None:
    """Make an index, unless it is there; with a condition, of some rows only, but on MySQL."""
    prefix, schema = place()
    index = f"ix_{prefix}{table}_{name}"
    if sa.inspect(op.get_bind()).has_index(f"{prefix}{table}", index, schema=schema):
        return
    where = None if condition is None else sa.text(condition)
    op.create_index(index, f"{prefix}{table}", list(columns), schema=schema, sqlite_where=where, postgresql_where=where)


def drop_index(table: str, name: str) -> None:
    """Drop an index; for the way back."""
    prefix, schema = place()
    op.drop_index(f"ix_{prefix}{table}_{name}", f"{prefix}{table}", schema=schema)


def say(version: int, *, oldest: int, is_down: bool = False) -> None:
    """Write down which version the tables have, and the oldest one whose code can work with them."""
    prefix, schema = place()
    layout = sa.table(f"{prefix}layout", sa.column("version"), sa.column("oldest"), schema=schema)
    found = op.get_bind().scalar(sa.select(sa.func.max(layout.c.version)))
    if found is None:
        op.execute(layout.insert().values(version=version, oldest=oldest))
    elif found < version or is_down:
        op.execute(layout.update().values(version=version, oldest=oldest))


def place() -> tuple[str, str | None]:
    """The prefix of the tables' names, and their schema."""
    options = op.get_context().opts
    return options.get("goose_prefix", "goose_"), options.get("goose_schema")
