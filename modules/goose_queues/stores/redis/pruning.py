"""Deleting what finished long ago, chunk by chunk, from the oldest: state by state, queue by queue, then the batches.

A job of a chain or batch is let go by the home of its group, which alone knows whether something of it is left to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from goose_queues.record import Pruned
from goose_queues.stores.cursor import cursor_key, cursor_text
from goose_queues.stores.moment import span
from goose_queues.stores.redis.answers import in_rows
from goose_queues.stores.redis.handover import hand_over
from goose_queues.stores.redis.slots import Slots

_BATCHES: Final = "z"
_PARTS: Final = ("c", "f", "x", _BATCHES)
"""In this order: what has finished in each state, then the batches, which may be at home in other queues."""


async def prune(slots: Slots, retention: float, limit: int, cursor: str | None) -> Pruned:
    """Look at ``limit`` jobs that finished more than ``retention`` seconds ago, and delete what may go."""
    start, after = ("", ""), ""
    if cursor is not None:
        part, queue, after = map(str, cursor_key(cursor))
        start = (part, queue)
    age, left, batches_left, deleted = span(retention), limit, limit, 0
    queues = await slots.look()
    for part, queue in sorted((part, queue) for part in _PARTS for queue in queues if (part, queue) >= start):
        last = after if (part, queue) == start else ""
        if part == _BATCHES:
            looked, last = await slots.run(queue, "prune_batches", age, batches_left, last)
            batches_left -= looked
        else:
            looked, gone, last, asked = await slots.run(queue, "prune", part, age, left, last)
            deleted += gone + await _let_go(slots, queue, age, asked)
            left -= looked
        if left <= 0 or batches_left <= 0:
            return Pruned(deleted, cursor_text([part, queue, last]))
    return Pruned(deleted, None)


async def _let_go(slots: Slots, queue: str, age: int, asked: Sequence[Any]) -> int:
    """Ask the homes of these jobs; how many have gone."""
    by_home: dict[str, list[str]] = {}
    for home, *job in in_rows(asked, 5):
        by_home.setdefault(home, []).extend(job)
    gone = 0
    for home, jobs in by_home.items():
        spared, sent = await slots.run(home, "spare", queue, age, *jobs)
        await hand_over(slots, home, sent)
        gone += spared
    return gone
