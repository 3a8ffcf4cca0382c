"""Listing jobs, a page at a time: what runs, what is next, what is due later, then what has finished, newest first.

A listing is a row of sections, one for each stored state, each in the order of an index. A page begins where the cursor
says: the last key that was seen. It is found by one range of the index for each column of the key, never by skipping, so
the last page of a million costs what the first does.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, select

from goose_queues.errors import InvalidFilter
from goose_queues.record import JobFilter, JobRecord, Page
from goose_queues.stores.sql import counts
from goose_queues.stores.sql.read import ready_queues
from goose_queues.stores.sql.rows import RECORD, is_id, job_record, plain
from goose_queues.stores.sql.statement import Layout, Statement
from goose_queues.stores.sql.tables import (
    CANCELLED,
    COMPLETED,
    FAILED,
    MEMBER,
    PROCESSING,
    READY,
    SCHEDULED,
    WAITING,
    word,
)

_LAST: Final = 2**62
"""Where text stands that a hand has written into a number; no number of a key is beyond it."""


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
    sections = _sections(wanted) if _can_match(wanted) else ()
    name, after = _read_cursor(cursor, wanted, sections)
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
            return Page(tuple(found), _cursor(wanted, section, rows[-1]) if more else None)
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
    found.sort(key=lambda row: _order(section, row))
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
    return bool(_rows(connection, layout, section, wanted, 1, _key(section, last)))


def _key(section: Section, row: Sequence[Any]) -> list[Any]:
    values: dict[str, Any] = dict(zip(RECORD, row, strict=True))
    return [values[column.lstrip("-")] for column in section.key]


def _order(section: Section, row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_ordered(section.key, _key(section, row)))


def _ordered(key: Sequence[str], values: Sequence[Any]) -> Iterator[Any]:
    for column, value in zip(key[:-1], values, strict=False):
        number = value if isinstance(value, int | float) else _LAST
        yield -number if column.startswith("-") else number
    yield str(values[-1])


def _cursor(wanted: JobFilter, section: Section, row: Sequence[Any]) -> str:
    text = json.dumps([_print(wanted), section.name, *_key(section, row)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(
    cursor: str | None, wanted: JobFilter, sections: Sequence[Section]
) -> tuple[str | None, list[Any] | None]:
    if cursor is None:
        return None, None
    try:
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        print_of_filter, name, *key = json.loads(text)
        section = next(section for section in sections if section.name == name)
    except (ValueError, TypeError, AttributeError, StopIteration, RecursionError):
        section, print_of_filter, key = None, None, []
    if (
        section is None
        or print_of_filter != _print(wanted)
        or len(key) != len(section.key)
        or not all(map(_can_be_in_a_key, key))
    ):
        raise InvalidFilter("cursor", cursor, "use the cursor of an earlier page with the same filter")
    return section.name, key


def _print(wanted: JobFilter) -> int:
    """Tells filters apart, so that a cursor is not taken for a place in another listing."""
    return zlib.crc32(json.dumps(astuple(wanted)).encode())


def _can_be_in_a_key(part: object) -> bool:
    if isinstance(part, str):
        return _can_be_stored(part)
    return isinstance(part, int | float) and not isinstance(part, bool) and -_LAST <= part <= _LAST


def _can_be_stored(text: str) -> bool:
    """Whether any database takes it, be it only to look for it."""
    return plain(text) == text


@lru_cache(maxsize=512)
def _select(layout: Layout, section: Section, given: tuple[str, ...], depth: int) -> Statement:
    """``depth`` 0: from the beginning. Else: equal in the first ``depth - 1`` columns of the key, beyond in the next."""
    jobs = layout.tables.jobs
    conditions = [_in_states(layout, section)]
    if section.within == "batch_id":
        conditions.append(jobs.c.batch_role == word(MEMBER))
    if section.within is not None:
        conditions.append(jobs.c[section.within] == bindparam(f"of_{section.within}"))
    conditions += [jobs.c[column] == bindparam(f"of_{column}") for column in given]
    for place, column in enumerate(section.key[:depth]):
        name, value = column.lstrip("-"), f"after_{place}"
        if place < depth - 1:
            conditions.append(jobs.c[name] == bindparam(value))
        elif column.startswith("-"):
            conditions.append(jobs.c[name] < bindparam(value))
        else:
            conditions.append(jobs.c[name] > bindparam(value))
    order = [jobs.c[column.lstrip("-")] for column in section.key]
    falling = [by.desc() if column.startswith("-") else by for column, by in zip(section.key, order, strict=True)]
    columns = (jobs.c[name] for name in RECORD)
    return layout.prepare(select(*columns).where(*conditions).order_by(*falling).limit(bindparam("most")))


def _in_states(layout: Layout, section: Section) -> ColumnElement[bool]:
    """Each state spelt as the partial index of it does; finished ones have theirs by when they finished."""
    jobs = layout.tables.jobs
    if section.within == "chain_id":
        return jobs.c.state.in_([word(state) for state in section.states])
    state = jobs.c.state == word(section.states[0])
    return state & jobs.c.finished_at.is_not(None) if "-finished_at" in section.key else state


def _can_match(wanted: JobFilter) -> bool:
    """An id that is none matches nothing, nor does text that cannot be stored."""
    texts = (wanted.queue, wanted.name, wanted.chain_id, wanted.batch_id)
    ids = (wanted.chain_id, wanted.batch_id)
    return all(map(_can_be_stored, filter(None, texts))) and all(is_id(text) for text in ids if text is not None)
