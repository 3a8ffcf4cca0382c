"""What a pruning leaves of a batch in the tables: nothing."""

from __future__ import annotations

from goose_queues.clock import Clock
from goose_queues.record import Completed
from goose_queues.stores.sql.store import SqlStore
from store_contract.making import claim, new_batch, settle_all

from .conftest import Hand


async def test_callbacks_that_were_never_called_go_with_their_batch(store: SqlStore, hand: Hand, clock: Clock) -> None:
    members, batch = new_batch(2, "then", "catch", "finally")
    await store.insert(members, batches=[batch])
    assert hand("select count(*) from goose_callbacks") == [(3,)]
    await settle_all(store, (await claim(store)).jobs, Completed())
    assert hand("select role from goose_callbacks") == [("catch",)]
    clock.offset += 60
    await store.prune(1, 100)
    assert hand("select count(*) from goose_callbacks") == [(0,)]
    assert hand("select count(*) from goose_batches") == [(0,)]
