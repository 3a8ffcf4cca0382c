"""Moving jobs of a chain from one state to another, as many as there are, and counting them by where they were.

What is counted is exactly what was moved, also where somebody else moves some of them at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal_column, select, update

from goose_queues.stores.sql.statement import Layout, Statement, Values


class Moving:
    """An UPDATE of jobs that is counted.

    Args:
        layout: Whose dialect it is compiled for.
        where: Which jobs.
        values: What is written.
        by: Columns that are not written; the jobs are counted by them.
    """

    def __init__(
        self, layout: Layout, where: Sequence[ColumnElement[bool]], values: Mapping[str, Any], by: Sequence[str]
    ) -> None:
        jobs = layout.tables.jobs
        number: ColumnElement[Any] = func.count(literal_column("*"))
        change = update(jobs).where(*where).values(**values)
        columns = [jobs.c[name] for name in by]
        self._change: Statement | None = None
        if layout.family == "postgresql":
            moved = change.returning(*columns).cte("moved")
            self._count = layout.prepare(select(*moved.c, number).select_from(moved).group_by(*moved.c))
        else:
            # On MySQL the counting locks what it counts.
            counted = select(*columns, number).where(*where).group_by(*columns).with_for_update()
            self._count = layout.prepare(counted)
            self._change = layout.prepare(change)

    def rows(self, connection: Connection, values: Values) -> list[tuple[Any, ...]]:
        """Move them; return the columns and the number of each group."""
        found = self._count.rows(connection, values)
        if found and self._change is not None:
            self._change.run(connection, values)
        return found
