"""What a dispatch stores, sorted by queues, with the groups that belong to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from goose_queues.record import NewBatch, NewJob
from goose_queues.stores.redis.facts import job_fields
from goose_queues.stores.redis.steps import Arg

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
        if self.batches:
            return False
        home = self.home
        return all(job.chain_id is None and job.batch_id is None and job.queue == home for job in self.jobs)

    @property
    def queues(self) -> frozenset[str]:
        """Every queue that it may ever bring work to."""
        return frozenset(
            [
                self.home,
                *(job.queue for job in self.jobs),
                *(it.queue for batch in self.batches for it in batch.callbacks),
            ]
        )

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
        by_queue: dict[str, list[NewJob]] = {home: []}
        for job in self.jobs:
            by_queue.setdefault(job.queue, []).append(job)
        args: list[Arg] = [len(by_queue)]
        for queue, jobs in by_queue.items():
            args += (queue, len(jobs))
            for job in jobs:
                args += job_fields(job, home)
        args.append(self._groups(home))
        return args

    def _groups(self, home: str) -> str:
        if not self.batches and all(job.chain_id is None and job.batch_id is None for job in self.jobs):
            return ""
        members = [job for job in self.jobs if job.batch_id is not None and job.batch_role == "member"]
        return json.dumps(
            {
                "links": [
                    (job.chain_id, job.position or 0, job.id, job.queue, _member_of(job))
                    for job in self.jobs
                    if job.chain_id is not None
                ],
                "members": [(job.batch_id, job.id) for job in members],
                "batches": [_batch(batch, home) for batch in self.batches],
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )


def _member_of(job: NewJob) -> str | bool:
    return job.batch_id if job.batch_id is not None and job.batch_role == "member" else False


def _batch(batch: NewBatch, home: str) -> dict[str, Any]:
    return {
        "id": batch.id,
        "total": batch.total,
        "chain": batch.chain_id or False,
        "position": batch.position or 0,
        "callbacks": {
            str(job.batch_role): json.dumps(
                {"queue": job.queue, "job": job_fields(job, home)}, ensure_ascii=False, separators=(",", ":")
            )
            for job in batch.callbacks
        },
    }
