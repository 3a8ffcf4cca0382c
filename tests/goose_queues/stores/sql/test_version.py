"""A process works with tables that it knows, and refuses others in one line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from goose_queues.clock import Clock
from goose_queues.errors import LayoutMismatch
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from store_contract.making import new_job

from .conftest import Hand


def a_store(file: Path, *, auto_migrate: bool) -> SqlStore:
    return SqlStore(Database(f"sqlite:///{file}"), Clock(), owns_database=True, auto_migrate=auto_migrate)


async def test_missing_tables_are_made_where_that_is_wanted(file: Path) -> None:
    store = a_store(file, auto_migrate=True)
    await store.open()
    await store.insert([new_job()])
    await store.close()
    again = a_store(file, auto_migrate=False)
    await again.open()
    assert (await again.stats())["default"].pending == 1
    await again.close()


async def test_missing_tables_are_refused_where_it_is_not(file: Path) -> None:
    with pytest.raises(LayoutMismatch) as caught:
        await a_store(file, auto_migrate=False).open()
    assert str(caught.value) == f"sqlite:///{file} has no tables for the queue. Run: goose db migrate"


async def test_tables_that_do_not_say_their_version_are_refused_with_what_to_write(
    file: Path, store: SqlStore, hand: Hand
) -> None:
    hand("delete from goose_layout")
    with pytest.raises(LayoutMismatch) as caught:
        await a_store(file, auto_migrate=False).open()
    statement = "INSERT INTO goose_layout (version, oldest) VALUES (2, 2)"
    assert str(caught.value) == (
        f"sqlite:///{file} has tables for the queue, but their version is not in goose_layout. Run: goose db migrate. "
        f'If migrations of your own make them, end those with: op.execute("{statement}")'
    )
    hand(statement)
    again = a_store(file, auto_migrate=False)
    await again.open()
    await again.close()


async def test_tables_that_are_too_old_are_refused(file: Path, store: SqlStore, hand: Hand) -> None:
    hand("update goose_layout set version = 1")
    with pytest.raises(LayoutMismatch) as caught:
        await a_store(file, auto_migrate=False).open()
    assert str(caught.value) == (
        f"sqlite:///{file} has the queue's tables in version 1, this process needs 2. Run: goose db migrate"
    )


@pytest.mark.parametrize("auto_migrate", [True, False])
async def test_tables_that_are_too_new_are_refused(file: Path, store: SqlStore, hand: Hand, auto_migrate: bool) -> None:
    hand("update goose_layout set version = 7, oldest = 3")
    with pytest.raises(LayoutMismatch) as caught:
        await a_store(file, auto_migrate=auto_migrate).open()
    assert str(caught.value) == (
        f"sqlite:///{file} has the queue's tables in version 7, this process knows them up to 2: "
        "goose db migrate was run by a newer goose-framework. Update this process."
    )
    assert (caught.value.found, caught.value.known, caught.value.oldest) == (7, 2, 3)


async def test_newer_tables_that_only_added_are_worked_with(file: Path, store: SqlStore, hand: Hand) -> None:
    hand("update goose_layout set version = 3, oldest = 1")
    hand("alter table goose_jobs add column flavour text")
    old = a_store(file, auto_migrate=True)
    await old.open()
    await old.insert([new_job()])
    await old.close()


async def test_processes_that_start_together_make_the_tables_once(file: Path) -> None:
    stores = [a_store(file, auto_migrate=True) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.insert([new_job()]) for store in stores))
    assert (await stores[0].stats())["default"].pending == 4
    for store in stores:
        await store.close()
