"""The slot of a busy queue goes from node to node of a cluster: nothing is lost or done twice, and nobody has to wait long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import goose
from checker import check
from faults.application import Limited, Odd, Step, application
from faults.load import Load, at_work, doubles
from fleet import Fleet
from goose_queues import Client
from goose_queues.stores.redis.cluster import slot_of
from havoc import Havoc
from quick_fleet import QuickFleet
from servers.private_redis import PrivateCluster
from several_hand import SeveralHand
from soak import size
from waiting import wait_until

MOVES = size(6, 100)
INDEX, DATA = "goose_{steps}:index", "goose_{steps}:data"
SLOT = slot_of(INDEX)
BETWEEN = 10
"""Jobs at least that are acknowledged while the slot is half way, and between two moves."""


@pytest.fixture
def cluster() -> Iterator[PrivateCluster]:
    with PrivateCluster() as cluster:
        yield cluster


@pytest.fixture
def fleet(tmp_path: Path, cluster: PrivateCluster) -> Iterator[Fleet]:
    fleet = QuickFleet(tmp_path, "faults.application", url=cluster.url, hand=SeveralHand(cluster))
    yield fleet
    fleet.end()


async def test_a_busy_queue_moves(fleet: Fleet, cluster: PrivateCluster) -> None:
    """Under dispatches, claims, settles, and what comes from other queues: lost 0, run twice 0, no outcome half written."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        load, havoc = Load(fleet, kernel.get(Client), (Step, Limited, Odd)), Havoc(fleet, 2, slots=8)
        await havoc.ready()
        async with load.going_on():
            for number in range(MOVES):
                await go_on(load)
                await move(cluster, load, together=number % 2 == 0)
                await at_work(fleet, havoc.workers, load)
        await wait_until(fleet.is_over, deadline=60)
    assert [worker.poll() for worker in havoc.workers] == [None, None], fleet.log.read_text()
    assert await havoc.dismiss() == [0, 0], fleet.log.read_text()

    history = load.history()
    print(f"{load.acknowledged} acknowledged, {load.refused} dispatches refused while the slot moved {MOVES} times")
    assert history.faults == ()
    assert check(history) == []
    assert doubles(history) == {}
    assert "Traceback" not in fleet.log.read_text()


async def move(cluster: PrivateCluster, load: Load, *, together: bool) -> None:
    """Move it to the next node; while its keys are on their way, together or one after the other, the load goes on."""
    owner = await asyncio.to_thread(cluster.owner, SLOT)
    target = cluster.nodes[(cluster.nodes.index(owner) + 1) % 3]
    await asyncio.to_thread(cluster.begin_move, SLOT, target)
    await go_on(load)
    for keys in ((INDEX, DATA),) if together else ((INDEX,), (DATA,)):
        await asyncio.to_thread(cluster.move_keys, owner, target, *keys)
    await go_on(load)
    await asyncio.to_thread(cluster.end_move, SLOT, owner, target)


async def go_on(load: Load) -> None:
    """Let the load go on for a bit."""
    await wait_until(lambda before=load.acknowledged: load.acknowledged >= before + BETWEEN)
