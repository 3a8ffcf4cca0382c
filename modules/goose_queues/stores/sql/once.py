"""Inserting a row unless there is one of its key already: each database has its own words for that."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table
from sqlalchemy.dialects.mysql import insert as insert_on_mysql
from sqlalchemy.dialects.postgresql import insert as insert_on_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_on_sqlite

from goose_queues.stores.sql.statement import Layout, Statement


def insert_once(layout: Layout, table: Table, columns: Sequence[str]) -> Statement:
    """An INSERT of these columns that does nothing where the key is taken."""
    match layout.family:
        case "sqlite":
            return layout.prepare(insert_on_sqlite(table).on_conflict_do_nothing(), columns)
        case "postgresql":
            return layout.prepare(insert_on_postgresql(table).on_conflict_do_nothing(), columns)
        case "mysql":
            (key,) = table.primary_key.columns
            return layout.prepare(insert_on_mysql(table).on_duplicate_key_update({key.name: key}), columns)
