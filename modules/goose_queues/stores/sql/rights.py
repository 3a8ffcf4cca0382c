"""Whether this process may do with the tables what a queue does: asked at every opening, on servers."""

from __future__ import annotations

from sqlalchemy import Connection, Table, false, select

from goose_queues.stores.sql.tables import Tables


def use(connection: Connection, tables: Tables) -> None:
    """Read and write no row, in each way in which the queue does; fails where that is not allowed."""
    for table in (tables.jobs, tables.counts):
        _use(connection, table)


def _use(connection: Connection, table: Table) -> None:
    column = next(iter(table.primary_key))
    connection.execute(select(column).where(false()))
    connection.execute(table.update().values({column: column}).where(false()))
    connection.execute(table.delete().where(false()))
    written = [each for each in table.columns if each.computed is None and each.identity is None]
    connection.execute(table.insert().from_select(written, select(*written).where(false())))
