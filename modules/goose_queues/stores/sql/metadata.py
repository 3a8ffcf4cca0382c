"""The queue's tables for a project that makes all its tables by migrations of its own. Exported by the front door."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, MetaData, Table, event, insert

from goose_queues.stores.sql.tables import queue_tables
from goose_queues.stores.sql.version import VERSION


def add_queue_tables(
    metadata: MetaData, dialect: str, *, table_prefix: str = "goose_", table_schema: str | None = None
) -> None:
    """Add the queue's tables to a project's own metadata, for ``create_all`` and for Alembic's autogenerate.

    ``create_all`` also writes which version of the layout it has made. A migration that Alembic has written does not: it
    takes one more line, which the boot spells out as long as it is missing.

    Args:
        metadata: To which they are added.
        dialect: ``sqlite``, ``postgresql``, ``mysql`` or ``mariadb``: the tables differ.
        table_prefix: As ``QueuesModule`` is told.
        table_schema: As ``QueuesModule`` is told.

    Raises:
        ConfigError: The prefix or schema is no plain lower-case identifier, or the dialect is none of these.
    """
    event.listen(queue_tables(table_prefix, table_schema, metadata, dialect=dialect).layout, "after_create", _say)


def _say(layout: Table, connection: Connection, **_: Any) -> None:
    connection.execute(insert(layout).values(version=VERSION, oldest=VERSION))
