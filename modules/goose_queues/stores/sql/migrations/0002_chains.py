"""Layout 2: chains, batches with their callbacks, and paused queues."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


_LONG = sa.Text().with_variant(mysql.LONGTEXT(collation="utf8mb4_bin"), "mysql", "mariadb")
_REAL = sa.Float().with_variant(mysql.DOUBLE(), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Add what is missing; jobs that are stored already stay as they are."""
    prefix, schema = _place()
    op.add_column(f"{prefix}jobs", sa.Column("broken_at", sa.Integer()), schema=schema)
    _index("jobs", "chain", "chain_id IS NOT NULL", "chain_id", "position")
    if _is_mysql():
        _index("jobs", "link", None, "open_chain")
        _index("jobs", "batch", None, "batch_id", "member_state", "id")
    else:
        _index("jobs", "waiting", "state = 'waiting'", "queue", "id")
        _index("jobs", "link", "chain_id IS NOT NULL AND finished_at IS NULL", "chain_id")
        _index("jobs", "batch", "batch_role = 'member'", "batch_id", "state", "id")
    op.create_table(
        f"{prefix}batches",
        sa.Column("id", _key(36), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("chain_id", _key(36)),
        sa.Column("position", sa.Integer()),
        sa.Column("broken_at", sa.Integer()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("completed", sa.Integer()),
        sa.Column("failed", sa.Integer()),
        sa.PrimaryKeyConstraint("id"),
        schema=schema,
        **_OPTIONS,
    )
    _index("batches", "finished", "finished_at IS NOT NULL", "finished_at")
    _index("batches", "chain", "chain_id IS NOT NULL", "chain_id", "position")
    op.create_table(
        f"{prefix}callbacks",
        sa.Column("batch_id", _key(36), nullable=False),
        sa.Column("role", _key(8), nullable=False),
        sa.Column("id", _key(36), nullable=False),
        sa.Column("queue", _key(64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("name", _key(255), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("timeout", _REAL),
        sa.Column("meta", _LONG),
        sa.Column("payload", _LONG, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "role"),
        schema=schema,
        **_OPTIONS,
    )
    op.create_table(
        f"{prefix}paused",
        sa.Column("queue", _key(64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue"),
        schema=schema,
        **_OPTIONS,
    )
    # Code of layout 1 would end a link without starting the next.
    _say(2, oldest=2)


def downgrade() -> None:
    """Take it all away again, and with it what waits in chains and batches."""
    prefix, schema = _place()
    for table in ("paused", "callbacks", "batches"):
        op.drop_table(f"{prefix}{table}", schema=schema)
    for name in ("chain", "link", "batch") if _is_mysql() else ("waiting", "chain", "link", "batch"):
        op.drop_index(f"ix_{prefix}jobs_{name}", f"{prefix}jobs", schema=schema)
    with op.batch_alter_table(f"{prefix}jobs", schema=schema) as jobs:
        jobs.drop_column("broken_at")
    _say(1, oldest=1)


def _say(version: int, *, oldest: int) -> None:
    prefix, schema = _place()
    layout = sa.table(f"{prefix}layout", sa.column("version"), sa.column("oldest"), schema=schema)
    op.execute(layout.update().values(version=version, oldest=oldest))


def _place() -> tuple[str, str | None]:
    options = op.get_context().opts
    return options.get("goose_prefix", "goose_"), options.get("goose_schema")


def _is_mysql() -> bool:
    return op.get_bind().dialect.name in ("mysql", "mariadb")


def _key(length: int) -> sa.types.TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(sa.String(length, collation="utf8mb4_bin"), "mysql", "mariadb")
    )


def _index(table: str, name: str, condition: str | None, *columns: str) -> None:
    prefix, schema = _place()
    where = None if condition is None else sa.text(condition)
    op.create_index(
        f"ix_{prefix}{table}_{name}",
        f"{prefix}{table}",
        list(columns),
        schema=schema,
        sqlite_where=where,
        postgresql_where=where,
    )
