"""Where a job stands among those of its state, in the words of the index that keeps that order on each database.

SQLite and PostgreSQL have an index for each state that lasts. MySQL has none of a part of a table, and an entry that
moves costs it more than all else of a claim: there one index holds every state, by columns that are made of the row.
Used by every operation that takes or lists jobs in their order.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, literal_column
from sqlalchemy.sql.selectable import NamedFromClause

from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.tables import MEMBER, WAITING, word


def urgency(layout: Layout, jobs: FromClause) -> ColumnElement[Any]:
    """What ready jobs are ordered by first."""
    return jobs.c.line_rank if layout.family == "mysql" else jobs.c.priority.desc()


def due_at(layout: Layout, jobs: FromClause) -> ColumnElement[Any]:
    """When a ready or scheduled job is due."""
    return jobs.c.line_at if layout.family == "mysql" else jobs.c.due_at


def standing(layout: Layout, jobs: FromClause, state: str) -> tuple[ColumnElement[bool], ...]:
    """The conditions for jobs of a state other than ready, in the order of one time, or of their ids."""
    of_state = jobs.c.state == word(state)
    if layout.family != "mysql":
        return (of_state,)
    none: ColumnElement[int] = literal_column("0")
    at = (jobs.c.line_at == none,) if state == WAITING else ()
    return (of_state, jobs.c.line_rank == none, *at)


def of_members(layout: Layout, jobs: FromClause) -> tuple[ColumnElement[str], ColumnElement[bool]]:
    """The state of a batch's members, and the condition for being one."""
    if layout.family == "mysql":
        return jobs.c.member_state, jobs.c.member_state.is_not(None)
    return jobs.c.state, jobs.c.batch_role == word(MEMBER)


def along(layout: Layout, statement: Any, jobs: NamedFromClause, index: str | None = "line") -> Any:
    """On MySQL: by that index, or by the primary key, and no other way.

    What locks rows has to come upon them in one order, and upon no others: of a small table MySQL prefers to walk, and
    lock, the whole.
    """
    if layout.family != "mysql":
        return statement
    name = "PRIMARY" if index is None else f"ix_{layout.tables.prefix}jobs_{index}"
    hint = f"FORCE INDEX ({name})"
    if isinstance(statement, Select):
        return statement.with_hint(jobs, hint)
    # A joined update has no place for it.
    return statement.with_hint(hint) if layout.takes_lists else statement
