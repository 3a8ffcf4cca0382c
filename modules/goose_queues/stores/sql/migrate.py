"""Making and upgrading the queue's tables by the steps in ``migrations``: at boot by ``store``, else by ``goose db``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from goose_queues.stores.sql.tables import Tables, queue_tables
from goose_queues.stores.sql.version import version_of
from goose_sql import Database
from goose_sql.tables import Tables as OwnedTables

OWNER: Final = "QueuesModule"
"""Whose tables they are in what ``goose db`` says; a part of the version table's name."""
STEPS: Final = "goose_queues.stores.sql.migrations"


def owned_tables(tables: Tables | None = None, *, url: str | None = None, otherwise: str | None = None) -> OwnedTables:
    """The queue's tables as ``goose db migrate`` takes them.

    Args:
        tables: Those of the store; None: those with the default prefix.
        url: Where they are; None: in the application's own database.
        otherwise: Where they are when the application has no database of its own.
    """
    queue = tables or queue_tables()

    def is_current(connection: Connection) -> bool:
        found = version_of(connection, queue)
        return found is not None and found.is_current

    return OwnedTables(
        OWNER,
        queue.metadata,
        STEPS,
        {"goose_prefix": queue.prefix, "goose_schema": queue.layout.schema},
        url=url,
        otherwise=otherwise,
        prefix=queue.prefix,
        schema=queue.layout.schema,
        is_current=is_current,
        at_boot=False,
    )


async def upgrade(database: Database, tables: Tables) -> None:
    """Bring the tables of a database to the newest version; by any number of processes at once.

    Raises:
        MigrationFailed: A step failed.
    """
    # Alembic takes a tenth of a second to import, and nearly every opening finds nothing to do.
    from goose_sql.migrations import migrate

    await migrate(database, (owned_tables(tables),))
