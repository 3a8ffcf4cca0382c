"""Many jobs as pieces of a size that a store takes at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from goose_queues.record import NewJob


def in_pieces(jobs: Sequence[NewJob], most: int, size: int) -> Iterator[Sequence[NewJob]]:
    """At most so many jobs, and so many characters of payload unless one job has more, in each piece."""
    start, taken = 0, 0
    for place, job in enumerate(jobs):
        taken += len(job.payload)
        if place - start == most or (taken > size and place > start):
            yield jobs[start:place]
            start, taken = place, len(job.payload)
    if start < len(jobs):
        yield jobs[start:]
