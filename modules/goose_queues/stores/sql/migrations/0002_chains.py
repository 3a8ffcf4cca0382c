"""Layout 2: chains, batches with their callbacks, and paused queues."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goose_queues.stores.sql import steps
from goose_queues.stores.sql.steps import LONG, REAL, key

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is missing; jobs that are stored already stay as they are."""
    steps.add_column("jobs", sa.Column("broken_at", sa.Integer()))
    steps.create_index("jobs", "chain", "chain_id IS NOT NULL", "chain_id", "position")
    if steps.is_mysql():
        steps.create_index("jobs", "link", None, "open_chain")
        steps.create_index("jobs", "batch", None, "batch_id", "member_state", "id")
    else:
        steps.create_index("jobs", "waiting", "state = 'waiting'", "queue", "id")
        steps.create_index("jobs", "link", "chain_id IS NOT NULL AND finished_at IS NULL", "chain_id")
        steps.create_index("jobs", "batch", "batch_role = 'member'", "batch_id", "state", "id")
    steps.create_table(
        "batches",
        sa.Column("id", key(36), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("chain_id", key(36)),
        sa.Column("position", sa.Integer()),
        sa.Column("broken_at", sa.Integer()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("completed", sa.Integer()),
        sa.Column("failed", sa.Integer()),
        sa.PrimaryKeyConstraint("id"),
    )
    steps.create_index("batches", "finished", "finished_at IS NOT NULL", "finished_at")
    steps.create_index("batches", "chain", "chain_id IS NOT NULL", "chain_id", "position")
    steps.create_table(
        "callbacks",
        sa.Column("batch_id", key(36), nullable=False),
        sa.Column("role", key(8), nullable=False),
        sa.Column("id", key(36), nullable=False),
        sa.Column("queue", key(64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("name", key(255), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("timeout", REAL),
        sa.Column("meta", LONG),
        sa.Column("payload", LONG, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "role"),
    )
    steps.create_table(
        "paused",
        sa.Column("queue", key(64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue"),
    )
    # Code of layout 1 would end a link without starting the next.
    steps.say(2, oldest=2)


def downgrade() -> None:
    """Take it all away again, and with it what waits in chains and batches."""
    prefix, schema = steps.place()
    for table in ("paused", "callbacks", "batches"):
        op.drop_table(f"{prefix}{table}", schema=schema)
    for name in ("chain", "link", "batch") if steps.is_mysql() else ("waiting", "chain", "link", "batch"):
        steps.drop_index("jobs", name)
    with op.batch_alter_table(f"{prefix}jobs", schema=schema) as jobs:
        jobs.drop_column("broken_at")
    steps.say(1, oldest=1, is_down=True)
