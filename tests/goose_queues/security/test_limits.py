"""Every limit that SECURITY.md names: what is at it is taken, what is beyond it is refused, cut or put off."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from goose_queues import (
    BatchTooLarge,
    ChainTooLong,
    Client,
    InvalidName,
    Job,
    JobContext,
    PayloadError,
    PayloadTooLarge,
    QueuesModule,
    batch,
    chain,
    listing,
    shape,
    values,
    worker,
)
from goose_queues.config import Settings
from goose_queues.errors import ConfigError
from goose_queues.failure import MESSAGE_BYTES, TRACEBACK_BYTES, record_error
from goose_queues.payload import encode, encode_result
from goose_queues.record import Claim, Claimed, JobFilter, Page
from goose_queues.sentence import META_LIMIT
from goose_queues.stores.sql.store import SqlStore
from queue_apps import Boot
from waiting import wait_until

SECURITY = (Path(__file__).parents[3] / "SECURITY.md").read_text()
KIB = 1024


class Note(Job):
    text: str = ""
    data: Any = None

    async def handle(self, ctx: JobContext) -> None: ...


def filled(size: int) -> Note:
    """A job whose payload has so many bytes."""
    return Note(text="x" * (size - len('{"text":"","data":null}')))


def nested(levels: int) -> Note:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return Note(data=value)


def test_the_limits_are_these() -> None:
    """Defaults where they can be set, constants where not."""
    assert Settings().max_payload_size == 256 * KIB
    assert (MESSAGE_BYTES, TRACEBACK_BYTES) == (8 * KIB, 32 * KIB)
    assert (shape.MAX_DEPTH, values.MAX_NAME, values.MAX_RETRIES) == (64, 255, 1_000)
    assert timedelta(seconds=values.MAX_DELAY) == timedelta(days=3652.5)
    assert (batch.MOST_MEMBERS, batch.MOST_BYTES, chain.LONGEST) == (100_000, 64 * KIB * KIB, 1_000)
    assert (listing.PAGE, worker.CLAIMED, META_LIMIT) == (200, 100, 8 * KIB)


@pytest.mark.parametrize(
    "line",
    [
        r"payload, result \| 256 KiB each",
        r"`meta` \| 8 KiB",
        r"depth of a payload \| 64",
        r"stored error \| 8 KiB of message, 32 KiB of traceback",
        r"name of a job, of a queue \| 255, 64 characters",
        r"retries \| 1 000",
        r"delay \| 10 years",
        r"batch \| 100 000 members, 64 MiB of payload",
        r"chain \| 1 000 links",
        r"page of a listing \| 200 jobs",
        r"one claim \| 100 jobs",
        r"polling \| not more often than each 50 ms",
    ],
)
def test_the_page_names_them(line: str) -> None:
    assert re.search(rf"^\| {line}", SECURITY, re.MULTILINE)


def test_payload_and_result() -> None:
    limit = Settings().max_payload_size
    assert len(encode(filled(limit), limit)) == limit
    with pytest.raises(PayloadTooLarge, match="262 145 bytes > 262 144; store a reference"):
        encode(filled(limit + 1), limit)
    assert encode_result("x" * (limit - 2), limit)[1] is None
    assert encode_result("x" * (limit - 1), limit) == (
        None,
        "the result was dropped: 262145 bytes > 262144; store a reference",
    )


def test_depth() -> None:
    assert encode(nested(64), KIB)
    with pytest.raises(PayloadError, match=r"\$\.data is nested deeper than 64"):
        encode(nested(65), KIB)


def test_error() -> None:
    error = ValueError("é" * 100_000)
    for _ in range(9):
        outer = ValueError("é" * 100_000)
        outer.__cause__, error = error, outer
    kept = record_error(error)
    assert len(kept.message.encode()) <= MESSAGE_BYTES
    assert len(kept.traceback.encode()) <= TRACEBACK_BYTES


def test_names() -> None:
    assert values.job_name("x" * 255)
    assert values.queue_name("x" * 64)
    for refused in (lambda: values.job_name("x" * 256), lambda: values.queue_name("x" * 65)):
        with pytest.raises((InvalidName, ValueError)):
            refused()


def test_times() -> None:
    assert values.delay(timedelta(days=3652))
    with pytest.raises(ValueError, match="more than 10 years ahead"):
        values.delay(timedelta(days=3653))
    assert QueuesModule(poll_interval=0.05).settings.poll_interval == 0.05
    with pytest.raises(ConfigError, match="poll_interval=0.049: at least 50 ms"):
        QueuesModule(poll_interval=0.049)


async def test_batches_and_chains(boot: Boot) -> None:
    note, big = Note(), filled(256 * KIB)
    async with boot(Note) as kernel:
        client = kernel.get(Client)
        with pytest.raises(BatchTooLarge, match=r"at most 100.000 members, not 100.001: dispatch several"):
            client.batch(note for _ in range(100_001))
        with pytest.raises(BatchTooLarge, match=r"bytes of payload"):
            client.batch(big for _ in range(257))
        with pytest.raises(ChainTooLong, match=r"1.000"):
            client.chain(*(note for _ in range(1_001)))
        handle = await client.chain(*(note for _ in range(1_000))).dispatch()
        assert len(handle.ids) == 1_000
        with pytest.raises(PayloadTooLarge):
            client.dispatch(note).meta(text="x" * META_LIMIT)


async def test_a_listing_looks_at_200_jobs_at_a_time(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    jobs = SqlStore.jobs

    async def counted(store: SqlStore, wanted: JobFilter, limit: int, cursor: str | None = None) -> Page:
        asked.append(limit)
        return await jobs(store, wanted, limit, cursor)

    monkeypatch.setattr(SqlStore, "jobs", counted)
    async with boot(Note) as kernel:
        client = kernel.get(Client)
        await client.dispatch_many(Note() for _ in range(450))
        assert len([status async for status in client.jobs()]) == 450
        assert len([status async for status in client.jobs(limit=10**9)]) == 450
    assert asked == [200] * 6


async def test_a_worker_of_many_slots_claims_100_at_a_time(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    claim = SqlStore.claim

    async def counted(store: SqlStore, request: Claim) -> Claimed:
        asked.append(request.limit)
        return await claim(store, request)

    monkeypatch.setattr(SqlStore, "claim", counted)
    async with boot(Note, workers=5_000, background=True) as kernel:
        client = kernel.get(Client)
        await client.dispatch_many(Note() for _ in range(450))
        await wait_until(lambda: _all_done(client, 450))
    assert max(asked) == 100


async def _all_done(client: Client, jobs: int) -> bool:
    return (await client.stats())["default"].completed == jobs
