"""Waiting for a result costs the store as few questions as it can."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from goose_queues import JobCancelled, JobFailed, JobNotFound
from goose_queues.handle import Completions, JobHandle
from goose_queues.record import JobRecord
from goose_queues.store import Store
from waiting import wait_until

NOW = datetime(2027, 1, 1, tzinfo=UTC)
PENDING = JobRecord(
    id="a",
    name="Work",
    queue="default",
    status="pending",
    priority=1,
    attempts=0,
    failures=0,
    deaths=0,
    max_retries=3,
    timeout=None,
    created_at=NOW,
    available_at=NOW,
    started_at=None,
    finished_at=None,
    error=None,
    result=None,
    payload="{}",
    meta=None,
    note=None,
    progress=None,
    cancel_requested=False,
    chain_id=None,
    position=None,
    batch_id=None,
)


class Shelf:
    """The part of a store that handles ask."""

    def __init__(self, record: JobRecord | None) -> None:
        self.record = record
        self.asked = 0

    async def get(self, job_id: str) -> JobRecord | None:
        self.asked += 1
        return self.record


def handle_of(record: JobRecord | None) -> tuple[JobHandle, Shelf, Completions]:
    shelf, completions = Shelf(record), Completions()
    return JobHandle("a", cast("Store", shelf), completions), shelf, completions


async def test_asks_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks once, then again each time the job was settled in this process, and not in between."""
    monkeypatch.setattr("goose_queues.handle.ASK_FIRST", 3600)
    handle, shelf, completions = handle_of(PENDING)
    waiting = asyncio.create_task(handle.result())
    await wait_until(lambda: shelf.asked == 1)
    completions.settled(["other", "a"])  # a retry: settled, and not finished
    await wait_until(lambda: shelf.asked == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert shelf.asked == 2
    shelf.record = replace(PENDING, status="completed", result='{"n":[1,2]}')
    completions.settled(["a"])
    assert await waiting == {"n": [1, 2]}


async def test_asks_by_itself() -> None:
    """What another process settles is found without being told."""
    handle, shelf, _ = handle_of(PENDING)
    waiting = asyncio.create_task(handle.result(timeout=30))
    await wait_until(lambda: shelf.asked > 1)
    shelf.record = replace(PENDING, status="completed")
    assert await waiting is None


@pytest.mark.parametrize(
    ("record", "error", "said"),
    [
        (replace(PENDING, status="cancelled", note="no longer wanted"), JobCancelled, "no longer wanted"),
        (replace(PENDING, status="cancelled"), JobCancelled, "the job was cancelled"),
        (replace(PENDING, status="failed"), JobFailed, "Work a failed: unknown: no error was recorded"),
        (None, JobNotFound, "no such job"),
    ],
)
async def test_ends_other_than_well(record: Any, error: type[Exception], said: str) -> None:
    """Each end but the good one is an error of its own."""
    handle, _, _ = handle_of(record)
    with pytest.raises(error) as raised:
        await handle.result()
    assert str(raised.value) == said


async def test_forgets() -> None:
    """Whoever has stopped waiting is not kept."""
    handle, _, completions = handle_of(PENDING)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await handle.result(timeout=0)
    assert completions._waiting == {}


def test_shown() -> None:
    """Its repr is its id, and equal ids are equal handles."""
    one, other = handle_of(None)[0], handle_of(None)[0]
    assert repr(one) == "JobHandle(id='a')"
    assert one == other
