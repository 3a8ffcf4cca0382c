"""Layout 1: jobs, the counts of those at rest, and the version of the layout."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from goose_queues.stores.sql import steps
from goose_queues.stores.sql.steps import LONG, REAL, key

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


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
    on_mysql, on_sqlite = steps.is_mysql(), steps.is_sqlite()
    steps.create_table(
        "jobs",
        sa.Column("id", key(36), nullable=False),
        sa.Column("queue", key(64), nullable=False),
        sa.Column("state", key(16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("name", key(255), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("timeout", REAL),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("token", key(36)),
        sa.Column("worker", key(64)),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("blameless", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("doomed", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("cancel_requested", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("chain_id", key(36)),
        sa.Column("position", sa.Integer()),
        sa.Column("batch_id", key(36)),
        sa.Column("batch_role", key(8)),
        sa.Column("unique_key", key(255)),
        sa.Column("note", LONG),
        sa.Column("progress", LONG),
        sa.Column("meta", LONG),
        sa.Column("error", LONG),
        sa.Column("result", LONG),
        sa.Column("payload", LONG, nullable=False),
        *(_made() if on_mysql else ()),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with=_BUSY,
    )
    if on_mysql:
        steps.create_index("jobs", "line", None, "state", "queue", "line_rank", "line_at", "id")
    else:
        # PostgreSQL: by its order alone, without the ids, a page of a pruning would have to be sorted.
        beside = () if on_sqlite else ("id",)
        steps.create_index("jobs", "ready", "state = 'ready'", "queue", sa.text("priority DESC"), "due_at", "id")
        steps.create_index("jobs", "scheduled", "state = 'scheduled'", "queue", "due_at")
        steps.create_index("jobs", "leased", "state = 'processing'", "queue", *(("lease_until",) if on_sqlite else ()))
        steps.create_index("jobs", "finished", "finished_at IS NOT NULL", "queue", "state", "finished_at", *beside)
    identity = () if on_mysql else (sa.Identity(),)
    steps.create_table(
        "counts",
        *(() if on_sqlite else (sa.Column("id", sa.BigInteger(), *identity, nullable=False),)),
        sa.Column("queue", key(64), nullable=False),
        sa.Column("state", key(16), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "state") if on_sqlite else sa.PrimaryKeyConstraint("id"),
    )
    if not on_sqlite:
        steps.create_table("turns", sa.Column("queue", key(64), primary_key=True))
    steps.create_table(
        "layout",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("oldest", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    steps.say(1, oldest=1)


def downgrade() -> None:
    """Drop the tables, and with them every job."""
    prefix, schema = steps.place()
    if not steps.is_sqlite():
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
        sa.Column("open_chain", key(36), sa.Computed("CASE WHEN finished_at IS NULL THEN chain_id END", True)),
        sa.Column("member_state", key(16), sa.Computed("CASE WHEN batch_role = 'member' THEN state END", True)),
    ]
