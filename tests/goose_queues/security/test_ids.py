"""Ids of jobs are unguessable to a stranger, differ between processes, and tell nothing of the job."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import uuid
from itertools import pairwise
from typing import Any

import pytest

from goose_queues import Client, Job, JobContext, JobStatus, ids
from queue_apps import Boot

RANDOM_BITS = 72
"""Of 128, what is neither time (48), version (4) nor variant (2), less 2 that are left free for counting: fresh in the first
id of each millisecond. One that follows in it is ahead of the one before by 1 to 2**32, at random."""

ONE_MOMENT = """
import sys
from goose_queues import ids
ids.time.time_ns = lambda: 1_800_000_000_000_000_000
print("\\n".join(ids.new_id() for _ in range(5_000)))
"""


class Secretive(Job):
    text: str

    async def handle(self, ctx: JobContext) -> None: ...


def test_every_random_bit_is_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """In ids of different milliseconds, each of the bits is set half of the time."""
    moments = iter(range(1_800_000_000_000, 1_800_000_004_000))
    monkeypatch.setattr(ids.time, "time_ns", lambda: next(moments) * 1_000_000)
    monkeypatch.setattr(ids, "_last_millisecond", 0)
    made = [uuid.UUID(ids.new_id()).int for _ in range(4_000)]
    tail = [*range(60), *range(64, 76)]
    often = {bit: sum(number >> bit & 1 for number in made) for bit in tail}
    assert all(1_700 < count < 2_300 for count in often.values()), often
    assert len(tail) == RANDOM_BITS


def test_ids_of_one_millisecond_are_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_900_000_000_000_000_000)
    monkeypatch.setattr(ids, "_last_millisecond", 0)
    made = [uuid.UUID(ids.new_id()).int for _ in range(2_000)]
    steps = [after - before for before, after in pairwise(made)]
    assert len(set(steps)) > 1_990
    assert sum(steps) / len(steps) > 2**30


def test_processes_make_different_ids_in_the_same_millisecond() -> None:
    command = [sys.executable, "-c", ONE_MOMENT]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    made = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [len(of_one) for of_one in made] == [5_000] * 4
    assert len({job_id for of_one in made for job_id in of_one}) == 20_000


async def test_a_status_carries_no_payload(boot: Boot) -> None:
    async with boot(Secretive) as kernel:
        client = kernel.get(Client)
        handle = await client.dispatch(Secretive(text="hunter2"))
        shown: list[Any] = [await client.get_status(handle.id), await handle.status()]
        shown += [status async for status in client.jobs()]
    assert "payload" not in {field.name for field in dataclasses.fields(JobStatus)}
    assert len(shown) == 3
    assert "hunter2" not in repr([dataclasses.asdict(status) for status in shown])
