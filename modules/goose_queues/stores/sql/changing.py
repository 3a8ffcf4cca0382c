"""Changing rows and telling which: in one statement where the database returns what it has changed.

MySQL does not: there the rows are locked first, in the order of their keys, then changed by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, any_, delete, func, update

from goose_queues.stores.sql.given import Many
from goose_queues.stores.sql.standing import along
from goose_queues.stores.sql.statement import Layout, Values
from goose_queues.stores.sql.tables import rowid


class Changing:
    """An UPDATE, or a DELETE, of the rows that ``chosen`` finds.

    Args:
        layout: Whose dialect it is compiled for.
        table: Of which rows are changed; its key is ``id``.
        chosen: Selects from an alias of the table, with a limit where there is one, but no columns.
        alias: That alias.
        values: What is written; None: the rows are deleted.
        tell: Columns that are returned; not those that are written.
        skip_locked: On servers: leave what somebody else is working on.
    """

    def __init__(
        self,
        layout: Layout,
        table: Table,
        chosen: Select[Any],
        alias: Any,
        values: Mapping[str, Any] | None,
        tell: Sequence[str],
        *,
        skip_locked: bool = False,
    ) -> None:
        self._by_key: Many | None = None
        if layout.family == "mysql":
            columns = (alias.c.id, *(alias.c[name] for name in tell))
            locking = chosen.with_only_columns(*columns).with_for_update(of=alias, skip_locked=skip_locked)
            self._first = layout.prepare(locking)
            by_key = _change(table, values)
            if table is layout.tables.jobs and values is not None:
                by_key = along(layout, by_key, table, index=None)
            self._by_key = Many(
                layout, {"of_key": "key"}, lambda given: by_key.where(given.is_for(table.c.id, "of_key"))
            )
        else:
            change: Any = _change(table, values).where(is_chosen(layout, table, chosen, alias, skip_locked=skip_locked))
            self._first = layout.prepare(change.returning(*(table.c[name] for name in tell)))

    def rows(self, connection: Connection, values: Values) -> list[tuple[Any, ...]]:
        """Change them; return what was asked for of each."""
        found = self._first.rows(connection, values)
        if self._by_key is None:
            return found
        self._by_key.run(connection, [{"of_key": row[0]} for row in sorted(found, key=lambda row: str(row[0]))], values)
        return [row[1:] for row in found]


def _change(table: Table, values: Mapping[str, Any] | None) -> Any:
    return delete(table) if values is None else update(table).values(**values)


def is_chosen(
    layout: Layout, table: Table, chosen: Select[Any], alias: Any, *, skip_locked: bool, by_place: bool = False
) -> ColumnElement[bool]:
    """On SQLite and PostgreSQL: whether a row of the table is one of those that ``chosen`` finds, and locks.

    Args:
        layout: Whose dialect it is for.
        table: Whose row it is.
        chosen: As ``Changing`` takes it.
        alias: The same.
        skip_locked: On servers: leave what somebody else is working on.
        by_place: PostgreSQL: by the place of the row, which is the shortest way; one that has just moved is left alone.
    """
    family = layout.family
    if by_place or family == "sqlite":
        key, found = rowid(table.name, family), rowid(alias.name, family)
    else:
        key, found = table.c.id, alias.c.id
    keys = chosen.with_only_columns(found)
    if family == "sqlite":
        return key.in_(keys)
    locked = keys.with_for_update(of=alias, skip_locked=skip_locked)
    return key == any_(func.array(locked.scalar_subquery()))
