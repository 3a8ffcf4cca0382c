"""The watch on the file: what it reports, and that nothing stops it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from store_contract.making import claim, new_job
from waiting import wait_until

from .conftest import Hand


async def test_only_queues_with_something_to_claim_are_reported(store: SqlStore, hand: Hand) -> None:
    await store.insert([new_job(queue="busy"), new_job(queue="waiting"), new_job(queue="later", delay=60.0)])
    await claim(store, queue="busy")
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    await wait_until(lambda: heard != [])
    assert heard[0] == {"waiting", "later"}
    heard.clear()
    hand("update goose_counts set jobs = jobs")
    hand("create table another (id int)")
    await wait_until(lambda: heard != [])
    assert heard[0] == {"waiting"}


async def test_a_watch_that_fails_says_so_and_goes_on(
    store: SqlStore, hand: Hand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("goose_queues.stores.sql.watch.AGAIN", 0.0)
    heard: list[frozenset[str]] = []
    reading, failures = Database.read, [OSError("gone")]

    async def broken_once(database: Database, operation: object, **how: Any) -> object:
        if failures:
            raise failures.pop()
        return await reading(database, operation, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "read", broken_once)
    await store.insert([new_job()])
    store.subscribe(heard.append)
    await wait_until(lambda: heard != [])
    assert "Watching the database for new jobs failed; polling goes on" in caplog.text


async def test_nobody_is_watched_for_before_somebody_listens(store: SqlStore) -> None:
    def watching() -> set[str]:
        return {task.get_name() for task in asyncio.all_tasks()} & {"goose-queues-watch"}

    assert not watching()
    unsubscribe = store.subscribe(lambda _: None)
    assert watching()
    unsubscribe()
    await wait_until(lambda: not watching())
    store.subscribe(lambda _: None)
    assert watching()
    await store.close()
    assert not watching()
