"""What a dispatch stores, sorted by queues, with the groups that belong to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from goose_queues.record import NewBatch, NewJob
from goose_queues.stores.pieces import in_pieces
from goose_queues.stores.redis.facts import MEMBER, job_fields
from goose_queues.stores.redis.steps import Arg

LARGE: Final = 1_000
"""Jobs from which on a dispatch is kept in pieces of so many, so that no script holds the server up for long."""
BYTES: Final = 4 * 1024 * 1024
"""Of payload in one piece, unless one job has more."""
_NOWHERE: Final = "default"
"""The home of a batch without members and callbacks."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Jobs and batches that are stored together."""

    jobs: Sequence[NewJob]
    batches: Sequence[NewBatch]

    @property
    def home(self) -> str:
        """The queue that stores all of it, and that decides on the chains and batches in it."""
        first = next(chain(self.jobs, *(batch.callbacks for batch in self.batches)), None)
        return _NOWHERE if first is None else first.queue

    @property
    def is_plain(self) -> bool:
        """Whether nothing in it belongs to a chain or batch, and all of it to one queue."""
        home = self.home
        return not self.batches and all(not _has_group(job) and job.queue == home for job in self.jobs)

    @property
    def is_large(self) -> bool:
        """Whether it is too much for one script."""
        return len(self.jobs) > LARGE or sum(len(job.payload) for job in self.jobs) > BYTES

    @property
    def queues(self) -> frozenset[str]:
        """Every queue that it may ever bring work to."""
        callbacks = (it.queue for batch in self.batches for it in batch.callbacks)
        return frozenset([self.home, *(job.queue for job in self.jobs), *callbacks])

    @property
    def news(self) -> frozenset[str]:
        """The queues that have something to claim thereby, now or later."""
        begun = [job.queue for job in self.jobs if not job.position]
        over = [it.queue for batch in self.batches if not batch.total for it in batch.callbacks]
        return frozenset(begun + over)

    def fields(self) -> list[Arg]:
        """What ``add.lua`` takes after its first argument, of a plain one."""
        home = self.home
        return [field for job in self.jobs for field in job_fields(job, home)]

    def args(self) -> list[Arg]:
        """What ``insert.lua`` takes after its first argument."""
        home = self.home
        by_queue = {home: [], **_by_queue(self.jobs)}
        args: list[Arg] = [len(by_queue)]
        for queue, jobs in by_queue.items():
            args += (queue, len(jobs))
            for job in jobs:
                args += job_fields(job, home)
        has_groups = self.batches or any(map(_has_group, self.jobs))
        args.append(_json({**_groups(self.jobs), "batches": self._batches()}) if has_groups else "")
        return args

    def pieces(self) -> Iterator[tuple[Arg, ...]]:
        """What ``stage.lua`` takes for each piece: its number, queue, message, and groups."""
        home, number = self.home, 0
        for queue, jobs in _by_queue(self.jobs).items():
            for some in in_pieces(jobs, LARGE, BYTES):
                number += 1
                fields = [field for job in some for field in job_fields(job, home)]
                ids = [job.id for job in some] if queue == home else []
                message = _json({"kind": "insert", "jobs": fields})[1:]
                yield number, queue, message, _json({**_groups(some), "ids": ids})

    def batches_text(self) -> str:
        """What ``commit.lua`` takes in the end."""
        return _json(self._batches())

    def _batches(self) -> list[dict[str, Any]]:
        home = self.home
        return [
            {
                "id": batch.id,
                "total": batch.total,
                "chain": batch.chain_id or False,
                "position": batch.position or 0,
                "callbacks": {
                    str(job.batch_role): _json({"queue": job.queue, "job": job_fields(job, home)})
                    for job in batch.callbacks
                },
            }
            for batch in self.batches
        ]


def _by_queue(jobs: Sequence[NewJob]) -> dict[str, list[NewJob]]:
    found: dict[str, list[NewJob]] = {}
    for job in jobs:
        found.setdefault(job.queue, []).append(job)
    return found


def _groups(jobs: Sequence[NewJob]) -> dict[str, Any]:
    return {
        "links": [
            (job.chain_id, job.position or 0, job.id, job.queue, _member_of(job))
            for job in jobs
            if job.chain_id is not None
        ],
        "members": [(job.batch_id, job.id) for job in jobs if _member_of(job)],
    }


def _has_group(job: NewJob) -> bool:
    return job.chain_id is not None or job.batch_id is not None


def _member_of(job: NewJob) -> str | bool:
    return job.batch_id if job.batch_id is not None and job.batch_role == MEMBER else False


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
