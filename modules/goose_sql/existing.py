"""Which tables there are; asked before they are made or read, by whoever makes them."""

from __future__ import annotations

from sqlalchemy import Connection, Table, inspect, text


def is_there(connection: Connection, table: Table) -> bool:
    """Whether a table has been made; also while somebody is changing it."""
    if connection.dialect.name not in ("mysql", "mariadb"):
        return inspect(connection).has_table(table.name, schema=table.schema)
    # By its name alone: MariaDB refuses to describe a table meanwhile.
    found = connection.execute(
        text(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = coalesce(:of_schema, database()) AND table_name = :of_name"
        ),
        {"of_schema": table.schema, "of_name": table.name},
    )
    return found.first() is not None
