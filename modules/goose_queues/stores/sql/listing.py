"""Listing jobs, a page at a time: what runs, what is next, what is due later, then what has finished, newest first.

A listing is a row of sections, one for each stored state, each in the order of an index. A page begins where the cursor
says: the last key that was seen. It is found by one range of the index for each column of the key, never by skipping, so
the last page of a million costs what the first does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select

from goose_queues.record import JobFilter, JobRecord, Page
from goose_queues.stores.cursor import can_match, invalid_cursor, page_cursor, read_page_cursor
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.read import ready_queues
from goose_queues.stores.sql.rows import RECORD, job_record
from goose_queues.stores.sql.standing import of_members, standing
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PROCESSING,
    READY,
    SCHEDULED,
    WAITING,
    word,
)
from goose_queues.stores.text import plain

_NEVER: Final = -math.inf
_NO_TIME: Final = {"sqlite": _NEVER, "postgresql": 2**62, "mysql": -(2**62)}


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a listing that has an order of its own."""

    name: str
    states: tuple[str, ...]
    key: tuple[str, ...]
    """Columns of the order, ``-`` before those that fall; the last is the id."""
    within: str | None = None
    """The column that an index leads with, where it is not the queue: ``chain_id`` or ``batch_id``."""


_STATES: Final = (
    # By start and not by id alone: SQLite would walk all ids for that.
    Section("processing", (PROCESSING,), ("started_at", "id")),
    Section("ready", (READY,), ("-priority", "due_at", "id")),
    Section("scheduled", (SCHEDULED,), ("due_at", "id")),
    Section("waiting", (WAITING,), ("id",)),
    Section("failed", (FAILED,), ("-finished_at", "id")),
    Section("cancelled", (CANCELLED,), ("-finished_at", "id")),
    Section("completed", (COMPLETED,), ("-finished_at", "id")),
)
_ALL: Final = tuple(state for section in _STATES for state in section.states)
_PENDING: Final = ("ready", "scheduled", "waiting")


def page(connection: Connection, layout: Layout, wanted: JobFilter, limit: int, cursor: str | None) -> Page:
    """At most ``limit`` jobs after the cursor.

    Raises:
        InvalidFilter: The cursor is not one of a listing with this filter.
    """
    sections = _sections(wanted) if can_match(wanted) else ()
    name, after = _read_cursor(layout, cursor, wanted, sections)
    found: list[JobRecord] = []
    for place, section in enumerate(sections):
        if name is not None and section.name != name:
            continue
        name = None
        rows = _rows(connection, layout, section, wanted, limit - len(found), after)
        after = None
        found += [job_record(row) for row in rows]
        if len(found) >= limit:
            more = len(rows) and (place + 1 < len(sections) or _is_more(connection, layout, section, wanted, rows[-1]))
            key = _key(layout, section, rows[-1]) if more else []
            return Page(tuple(found), page_cursor(wanted, section.name, key) if more else None)
    return Page(tuple(found), None)


def _sections(wanted: JobFilter) -> tuple[Section, ...]:
    if wanted.chain_id is not None:
        return (Section("chain", _states(wanted), ("position", "id"), "chain_id"),)
    chosen = tuple(section for section in _STATES if set(section.states) <= set(_states(wanted)))
    if wanted.batch_id is not None:
        return tuple(Section(section.name, section.states, ("id",), "batch_id") for section in chosen)
    return chosen


def _states(wanted: JobFilter) -> tuple[str, ...]:
    if wanted.status is None:
        return _ALL
    return _PENDING if wanted.status == "pending" else (wanted.status,)


def _rows(
    connection: Connection,
    layout: Layout,
    section: Section,
    wanted: JobFilter,
    limit: int,
    after: Sequence[object] | None,
) -> list[tuple[Any, ...]]:
    """The next rows of a section, of all queues that are wanted, in its order."""
    found: list[tuple[Any, ...]] = []
    for queue in _queues(connection, layout, section, wanted):
        found += _rows_of(connection, layout, section, wanted, queue, limit, after)
    _sort(section, found)
    return found[:limit]


def _rows_of(
    connection: Connection,
    layout: Layout,
    section: Section,
    wanted: JobFilter,
    queue: str | None,
    limit: int,
    after: Sequence[object] | None,
) -> list[tuple[Any, ...]]:
    """The same of one queue: first what shares the key up to its last column, then what shares less and less."""
    values: dict[str, object] = {
        "of_queue": queue,
        "of_name": wanted.name,
        "of_chain_id": wanted.chain_id,
        "of_batch_id": wanted.batch_id,
        **{f"after_{place}": value for place, value in enumerate(after or ())},
    }
    given = tuple(word for word, value in (("queue", queue), ("name", wanted.name)) if value is not None)
    found: list[tuple[Any, ...]] = []
    depths = range(len(section.key), 0, -1) if after is not None else (0,)
    for depth in depths:
        left = limit - len(found)
        if left > 0:
            found += _select(layout, section, given, depth).rows(connection, {**values, "most": left})
    return found


def _queues(connection: Connection, layout: Layout, section: Section, wanted: JobFilter) -> Sequence[str | None]:
    """The queues to ask, one by one; None: all at once, where the index does not lead with the queue."""
    if wanted.queue is not None:
        return (wanted.queue,)
    if section.within is not None or section.states == (PROCESSING,):
        return (None,)
    if section.states == (READY,):
        return ready_queues(connection, layout)
    return [queue for queue, state in counts.places(connection, layout) if (state,) == section.states]


def _is_more(connection: Connection, layout: Layout, section: Section, wanted: JobFilter, last: Sequence[Any]) -> bool:
    return bool(_rows(connection, layout, section, wanted, 1, _key(layout, section, last)))


def _key(layout: Layout, section: Section, row: Sequence[Any]) -> list[Any]:
    values: dict[str, Any] = dict(zip(RECORD, row, strict=True))
    # A time that a hand has taken away sorts before all others, on PostgreSQL behind; nothing can be compared with NULL.
    return [
        _NO_TIME[layout.family] if (value := values[column.lstrip("-")]) is None else value for column in section.key
    ]


def _sort(section: Section, rows: list[tuple[Any, ...]]) -> None:
    """As the database does."""
    for column in reversed(section.key):
        place = RECORD.index(column.lstrip("-"))
        rows.sort(key=lambda row: _rank(row[place]), reverse=column.startswith("-"))


def _rank(value: Any) -> tuple[int, Any]:
    """Of what a hand may have written, text comes after numbers, and bytes after text."""
    match value:
        case None:
            return 0, _NEVER
        case int() | float():
            return 0, value
        case str():
            return 1, value
        case _:
            return 2, value


def _read_cursor(
    layout: Layout, cursor: str | None, wanted: JobFilter, sections: Sequence[Section]
) -> tuple[str | None, list[Any] | None]:
    if cursor is None:
        return None, None
    name, key = read_page_cursor(cursor, wanted)
    section = next((section for section in sections if section.name == name), None)
    if section is None or not _fits(layout, section, key):
        raise invalid_cursor(cursor)
    return section.name, key


def _fits(layout: Layout, section: Section, key: Sequence[object]) -> bool:
    """Whether the key can be compared with the section's columns; servers keep to their types."""
    if len(key) != len(section.key):
        return False
    if layout.family == "sqlite":
        return True
    *numbers, job_id = key
    return isinstance(job_id, str) and _can_be_stored(job_id) and all(isinstance(number, int) for number in numbers)


def _can_be_stored(text: str) -> bool:
    """Whether any database takes it, be it only to look for it."""
    return plain(text) == text


@lru_cache(maxsize=512)
def _select(layout: Layout, section: Section, given: tuple[str, ...], depth: int) -> Statement:
    """``depth`` 0: from the beginning. Else: equal in the first ``depth - 1`` columns of the key, beyond in the next."""
    jobs = layout.tables.jobs
    conditions = [_in_states(layout, section)]
    if section.within is not None:
        conditions.append(jobs.c[section.within] == bindparam(f"of_{section.within}"))
    conditions += [jobs.c[column] == bindparam(f"of_{column}") for column in given]
    order = [_order(layout, section, column) for column in section.key]
    for place, (by, falls) in enumerate(order[:depth]):
        after: ColumnElement[Any] = bindparam(f"after_{place}", type_=by.type)
        # On MySQL the order rises where the key's column falls.
        after = -after if section.key[place].startswith("-") and not falls else after
        conditions.append(by == after if place < depth - 1 else by < after if falls else by > after)
    columns = (jobs.c[name] for name in RECORD)
    ordered = select(*columns).where(*conditions).order_by(*(by.desc() if falls else by for by, falls in order))
    return layout.prepare(ordered.limit(bindparam("most")))


def _order(layout: Layout, section: Section, column: str) -> tuple[ColumnElement[Any], bool]:
    """What stands for a column of the key in the index of the section, and whether it falls."""
    jobs = layout.tables.jobs
    if layout.family == "mysql" and section.within is None:
        if column == "-priority":
            return jobs.c.line_rank, False
        if column in {"due_at", "-finished_at"}:
            return jobs.c.line_at, False
    return jobs.c[column.lstrip("-")], column.startswith("-")


def _in_states(layout: Layout, section: Section) -> ColumnElement[bool]:
    """Each state spelt as the partial index of it does; finished ones have theirs by when they finished."""
    jobs = layout.tables.jobs
    if section.within == "chain_id":
        return jobs.c.state.in_([word(state) for state in section.states])
    state = word(section.states[0])
    if section.within == "batch_id":
        of_member, is_member = of_members(layout, jobs)
        return and_(of_member == state, is_member)
    if section.states in {(READY,), (PROCESSING,)}:
        return jobs.c.state == state
    conditions = standing(layout, jobs, section.states[0])
    return and_(*conditions, jobs.c.finished_at.is_not(None)) if "-finished_at" in section.key else and_(*conditions)
