"""Listing jobs, a page at a time: what runs, what is next, what is due later, then what has finished, newest first.

A listing is a row of sections, one for each state, each in the order of the queues' indexes, which are merged. A page begins
behind the key that was seen last, so the last page of a million costs what the first does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from goose_queues.record import JobFilter, JobRecord, Page
from goose_queues.stores.cursor import can_match, invalid_cursor, page_cursor, read_page_cursor
from goose_queues.stores.moment import stored
from goose_queues.stores.redis.facts import STATUSES, job_record
from goose_queues.stores.redis.slots import Slots

_SECTIONS: Final = ("p", "r", "s", "w", "f", "x", "c")
"""Letters of states, in the order of a listing."""
_CHAIN: Final = "chain"
_ANY: Final = ""
_STEP: Final = 500
"""Links that are looked at together."""


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """Where a job stands in a section."""

    key: str
    job_id: str
    queue: str


async def page(slots: Slots, wanted: JobFilter, limit: int, cursor: str | None) -> Page:
    """At most ``limit`` jobs after the cursor.

    Raises:
        InvalidFilter: The cursor is not one of a listing with this filter.
    """
    sections = _sections(wanted) if can_match(wanted) else ()
    name, after = _read(cursor, wanted, sections)
    queues = [queue for queue in await slots.look() if wanted.queue in (None, queue)]
    found: list[JobRecord] = []
    for section in sections:
        if name not in (None, section):
            continue
        name = None
        left = limit - len(found)
        places, is_more = await _places(slots, section, wanted, queues, left, after)
        after = _ANY
        records = await get(slots, places)
        found += [it for it in map(records.get, (place.job_id for place in places)) if it is not None]
        if places and (is_more or (len(places) >= left and sections.index(section) + 1 < len(sections))):
            return Page(tuple(found), page_cursor(wanted, section, [places[-1].key]))
    return Page(tuple(found), None)


async def get(slots: Slots, places: Sequence[_Place]) -> Mapping[str, JobRecord]:
    """The jobs of these places that are still there, by id."""
    by_queue: dict[str, list[str]] = {}
    for place in places:
        by_queue.setdefault(place.queue, []).append(place.job_id)
    records: dict[str, JobRecord] = {}
    for queue, ids in by_queue.items():
        for answer in await slots.run(queue, "get", *ids):
            records[answer[0]] = job_record(queue, answer)
    return records


def _sections(wanted: JobFilter) -> tuple[str, ...]:
    if wanted.chain_id is not None:
        return (_CHAIN,)
    return tuple(state for state in _SECTIONS if wanted.status in (None, STATUSES[state]))


def _read(cursor: str | None, wanted: JobFilter, sections: Sequence[str]) -> tuple[str | None, str]:
    if cursor is None:
        return None, _ANY
    name, key = read_page_cursor(cursor, wanted)
    if name not in sections or len(key) != 1 or not isinstance(key[0], str):
        raise invalid_cursor(cursor)
    return name, key[0]


async def _places(
    slots: Slots, section: str, wanted: JobFilter, queues: Sequence[str], limit: int, after: str
) -> tuple[list[_Place], bool]:
    """The next places of a section, and whether there are more."""
    if section == _CHAIN:
        found = await _of_chain(slots, wanted, limit + 1, after)
    elif section == "p" and wanted.batch_id is None:
        found = await _of_running(slots, wanted, queues, after)
    else:
        found = []
        for queue in queues:
            found += await _of_queue(slots, section, wanted, queue, limit + 1, after)
        found.sort()
    return found[:limit], len(found) > limit


async def _of_queue(slots: Slots, section: str, wanted: JobFilter, queue: str, limit: int, after: str) -> list[_Place]:
    found: list[_Place] = []
    while len(found) < limit:
        args = (section, after, limit - len(found), wanted.name or _ANY, wanted.batch_id or _ANY)
        after, *flat = await slots.run(queue, "list", *args)
        found += [_Place(key, job_id, queue) for key, job_id in zip(flat[::2], flat[1::2], strict=True)]
        if not after:
            break
    return found


async def _of_running(slots: Slots, wanted: JobFilter, queues: Sequence[str], after: str) -> list[_Place]:
    """By their start, while the index has them by their leases: there are never more of them than slots of the fleet."""
    places = [place for queue in queues for place in await _of_queue(slots, "p", wanted, queue, 2**31, _ANY)]
    records = await get(slots, places)
    started = [
        _Place(f"{stored(record.started_at or record.created_at):016d}\n{record.id}", record.id, record.queue)
        for record in records.values()
        if record.status == "processing"
    ]
    return sorted(place for place in started if place.key > after)


async def _of_chain(slots: Slots, wanted: JobFilter, limit: int, after: str) -> list[_Place]:
    """Links by their positions, from wherever their chain is at home."""
    found: list[_Place] = []
    while len(found) < limit:
        answers = await slots.run_on_all(slots.known, "chain", wanted.chain_id or _ANY, after, _STEP)
        flat: list[Any] = next((answer for answer in answers.values() if answer), [])
        links = [
            _Place(key, job_id, queue)
            for key, job_id, queue in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
            if queue and wanted.queue in (None, queue)
        ]
        records = await get(slots, links)
        found += [link for link in links if link.job_id in records and _fits(records[link.job_id], wanted)]
        if len(flat) < 3 * _STEP:
            break
        after = flat[-3]
    return found


def _fits(record: JobRecord, wanted: JobFilter) -> bool:
    return wanted.status in (None, record.status) and wanted.name in (None, record.name)
