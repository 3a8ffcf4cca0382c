"""Layout 1: jobs, the counts of those at rest, and the version of the layout."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_LONG = sa.Text().with_variant(mysql.LONGTEXT(collation="utf8mb4_bin"), "mysql", "mariadb")
_REAL = sa.Float().with_variant(mysql.DOUBLE(), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_BUSY = {
    "fillfactor": 80,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_threshold": 1_000,
    "autovacuum_analyze_scale_factor": 0.05,
    "autovacuum_analyze_threshold": 1_000,
    "autovacuum_vacuum_cost_delay": 1,
}


def upgrade() -> None:
    """Make the tables."""
    prefix, schema = _place()
    dialect = op.get_bind().dialect.name
    on_mysql, on_sqlite = dialect in ("mysql", "mariadb"), dialect == "sqlite"
    op.create_table(
        f"{prefix}jobs",
        sa.Column("id", _key(36), nullable=False),
        sa.Column("queue", _key(64), nullable=False),
        sa.Column("state", _key(16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("name", _key(255), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("timeout", _REAL),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("token", _key(36)),
        sa.Column("worker", _key(64)),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("blameless", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("doomed", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("cancel_requested", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("chain_id", _key(36)),
        sa.Column("position", sa.Integer()),
        sa.Column("batch_id", _key(36)),
        sa.Column("batch_role", _key(8)),
        sa.Column("unique_key", _key(255)),
        sa.Column("note", _LONG),
        sa.Column("progress", _LONG),
        sa.Column("meta", _LONG),
        sa.Column("error", _LONG),
        sa.Column("result", _LONG),
        sa.Column("payload", _LONG, nullable=False),
        *(_made() if on_mysql else ()),
        sa.PrimaryKeyConstraint("id"),
        schema=schema,
        postgresql_with=_BUSY,
        **_OPTIONS,
    )
    if on_mysql:
        _index("line", None, "state", "queue", "line_rank", "line_at", "id")
    else:
        _index("ready", "state = 'ready'", "queue", sa.text("priority DESC"), "due_at", "id")
        _index("scheduled", "state = 'scheduled'", "queue", "due_at")
        _index("leased", "state = 'processing'", "queue", *(("lease_until",) if on_sqlite else ()))
        _index("finished", "finished_at IS NOT NULL", "queue", "state", "finished_at", *(() if on_sqlite else ("id",)))
    op.create_table(
        f"{prefix}counts",
        *(() if on_sqlite else (sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),)),
        sa.Column("queue", _key(64), nullable=False),
        sa.Column("state", _key(16), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "state") if on_sqlite else sa.PrimaryKeyConstraint("id"),
        schema=schema,
        **_OPTIONS,
    )
    if not on_sqlite:
        op.create_table(f"{prefix}turns", sa.Column("queue", _key(64), primary_key=True), schema=schema, **_OPTIONS)
    layout = op.create_table(
        f"{prefix}layout",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("oldest", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
        schema=schema,
        **_OPTIONS,
    )
    op.bulk_insert(layout, [{"version": 1, "oldest": 1}])


def downgrade() -> None:
    """Drop the tables, and with them every job."""
    prefix, schema = _place()
    if op.get_bind().dialect.name != "sqlite":
        op.drop_table(f"{prefix}turns", schema=schema)
    for table in ("layout", "counts", "jobs"):
        op.drop_table(f"{prefix}{table}", schema=schema)


def _made() -> list[sa.Column[Any]]:
    rank = "CASE WHEN state = 'ready' THEN -priority ELSE 0 END"
    time = (
        "CASE WHEN finished_at IS NOT NULL THEN -finished_at "
        "WHEN state IN ('ready', 'scheduled') THEN due_at ELSE 0 END"
    )
    return [
        sa.Column("line_rank", sa.BigInteger(), sa.Computed(rank, persisted=True)),
        sa.Column("line_at", sa.BigInteger(), sa.Computed(time, persisted=True)),
        sa.Column("open_chain", _key(36), sa.Computed("CASE WHEN finished_at IS NULL THEN chain_id END", True)),
        sa.Column("member_state", _key(16), sa.Computed("CASE WHEN batch_role = 'member' THEN state END", True)),
    ]


def _key(length: int) -> sa.types.TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(sa.String(length, collation="utf8mb4_bin"), "mysql", "mariadb")
    )


def _place() -> tuple[str, str | None]:
    options = op.get_context().opts
    return options.get("goose_prefix", "goose_"), options.get("goose_schema")


def _index(name: str, condition: str | None, *columns: str | sa.TextClause) -> None:
    prefix, schema = _place()
    where = None if condition is None else sa.text(condition)
    op.create_index(
        f"ix_{prefix}jobs_{name}",
        f"{prefix}jobs",
        list(columns),
        schema=schema,
        sqlite_where=where,
        postgresql_where=where,
    )
