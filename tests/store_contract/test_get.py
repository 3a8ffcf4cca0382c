"""One job by its id, whatever the text."""

from __future__ import annotations

import pytest

from goose_queues.store import Store
from store_contract.making import new_job


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "01a20de4-7424-7392-8980-ab4a24ecbe7a",
        "1' OR '1'='1",
        "%",
        "\x00",
        "\ud800",
        "é" * 36,
        "x" * 100_000,
        str(10**30),
        "00000000-0000-0000-0000-000000000000",
    ],
    ids=ascii,
)
async def test_what_is_no_id_finds_nothing(store: Store, text: str) -> None:
    await store.insert([new_job()])
    assert await store.get(text) is None


async def test_a_job_is_seen_by_every_process(store: Store, other: Store) -> None:
    job = new_job()
    await store.insert([job])
    assert await other.get(job.id) == await store.get(job.id)
