"""Layout 1: jobs, the counts of those at rest, and the version of the layout."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Float()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("token", sa.String(36)),
        sa.Column("worker", sa.String(64)),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("blameless", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("doomed", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("cancel_requested", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("chain_id", sa.String(36)),
        sa.Column("position", sa.Integer()),
        sa.Column("batch_id", sa.String(36)),
        sa.Column("batch_role", sa.String(8)),
        sa.Column("unique_key", sa.String(255)),
        sa.Column("note", sa.Text()),
        sa.Column("progress", sa.Text()),
        sa.Column("meta", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("result", sa.Text()),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=schema,
    )
    _index("ready", "state = 'ready'", "queue", sa.text("priority DESC"), "due_at", "id")
    _index("scheduled", "state = 'scheduled'", "queue", "due_at")
    _index("leased", "state = 'processing'", "queue", "lease_until")
    _index("finished", "finished_at IS NOT NULL", "queue", "state", "finished_at")
    op.create_table(
        f"{prefix}counts",
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "state"),
        schema=schema,
    )
    layout = op.create_table(
        f"{prefix}layout",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("oldest", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
        schema=schema,
    )
    op.bulk_insert(layout, [{"version": 1, "oldest": 1}])


def downgrade() -> None:
    """Drop the tables, and with them every job."""
    prefix, schema = _place()
    for table in ("layout", "counts", "jobs"):
        op.drop_table(f"{prefix}{table}", schema=schema)


def _place() -> tuple[str, str | None]:
    options = op.get_context().opts
    return options.get("goose_prefix", "goose_"), options.get("goose_schema")


def _index(name: str, condition: str, *columns: str | sa.TextClause) -> None:
    prefix, schema = _place()
    op.create_index(
        f"ix_{prefix}jobs_{name}",
        f"{prefix}jobs",
        list(columns),
        schema=schema,
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )
