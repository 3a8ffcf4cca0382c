"""A server that goes away under load, as after a crash, and comes back: workers stay up, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import URL

import goose
from checker import check
from faults.application import application
from faults.load import Load, at_work, doubles
from fleet import Fleet
from goose_queues import Client
from havoc import Havoc
from servers.private import PrivateServer
from soak import SOAK, size
from waiting import wait_until

RESTARTS = 10
LEASE = 10.0
"""Seconds: so long that a restart explains no second run of anything."""
RESUMED = 10.0
"""Seconds after which everybody is at work again."""
BETWEEN = size(0, 300)
"""Jobs at least that run between two restarts."""
# What is acknowledged is on the disk.
SETTINGS = {"redis": {"appendonly": "yes", "appendfsync": "always"}}


@pytest.fixture
def url(server: PrivateServer) -> URL:
    return server.url


async def test_restarts_under_load(fleet: Fleet, server: PrivateServer) -> None:
    """Ten immediate shutdowns with jobs in hand: each worker resumes within 10 s, what was acknowledged runs, and once."""
    fleet.lease = LEASE
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        load, havoc = Load(fleet, kernel.get(Client)), Havoc(fleet, 2, slots=8, LEASE=str(LEASE))
        await havoc.ready()
        in_hand, away = [], []
        async with load.going_on():
            for _ in range(RESTARTS):
                await wait_until(lambda: all(map(fleet.running, havoc.workers)))
                if SOAK:
                    await wait_until(
                        lambda before=load.acknowledged: load.acknowledged >= before + BETWEEN, deadline=60
                    )
                in_hand.append(sum(map(fleet.running, havoc.workers)))
                went = time.time()
                with fleet.cut_off():
                    await asyncio.to_thread(server.stop, immediate=True)
                    # It stays away until that is noticed.
                    await wait_until(lambda before=load.refused: load.refused > before)
                    await asyncio.to_thread(server.start)
                away.append(time.time() - went)
                await at_work(fleet, havoc.workers, load, RESUMED)
        await wait_until(fleet.is_over, deadline=60)
    assert [worker.poll() for worker in havoc.workers] == [None, None], fleet.log.read_text()
    assert await havoc.dismiss() == [0, 0], fleet.log.read_text()

    history = load.history()
    assert check(history) == []
    print(
        f"{load.acknowledged} acknowledged, {load.refused} dispatches refused, in hand at each restart {in_hand}, "
        f"away for {min(away):.2f} to {max(away):.2f} s, {len(doubles(history))} ran again"
    )
    assert sum(in_hand) > 0, "the restarts hit nothing"
    assert "Traceback" not in fleet.log.read_text()
