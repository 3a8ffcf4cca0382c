"""A master that is killed under load: another takes its place, and the workers follow it by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import goose
from checker import CLAIM_TO_START
from faults.application import Limited, Odd, Step, application
from faults.cost import Cost, broken, cost_of
from faults.load import Load, at_work
from fleet import Fleet
from goose_queues import Client
from goose_queues.stores.redis.cluster import slot_of
from havoc import Havoc
from quick_fleet import QuickFleet
from servers.private_redis import PrivateCluster, PrivateRedis, PrivateSentinels
from servers.several import Several
from several_hand import SeveralHand
from soak import size
from waiting import wait_until

LEASE = 5.0
RESUMED = 10.0
"""Seconds at most from the kill to the first job of a queue that the dead server had."""
BEHIND = 1.0
"""Seconds by which a replica on the same machine is not behind."""
BEFORE, AFTER = size(150, 3000), size(100, 1000)
"""Jobs that are acknowledged before the kill, and behind it."""
LAG = size(60, 300)
"""Jobs that are acknowledged while the replica hears nothing."""
SLOT = slot_of("goose_{steps}:index")
# Each of their queues is on another node of the cluster.
KINDS = (Step, Limited, Odd)


@pytest.fixture(params=[PrivateSentinels, PrivateCluster], ids=["sentinel", "cluster"])
def servers(request: pytest.FixtureRequest) -> Iterator[Several]:
    with request.param() as servers:
        yield servers


@pytest.fixture
def fleet(tmp_path: Path, servers: Several) -> Iterator[Fleet]:
    fleet = QuickFleet(tmp_path, "faults.application", LEASE, servers.url, SeveralHand(servers))
    yield fleet
    fleet.end()


async def test_a_master_is_killed(fleet: Fleet, servers: Several) -> None:
    """Its queues are served again within 10 s; what is lost was acknowledged in the moment before, and what is left is whole."""
    cost = await after_a_failover(fleet, servers)
    assert cost.reach <= BEHIND


async def test_a_replica_that_has_fallen_behind(fleet: Fleet, servers: Several) -> None:
    """What was acknowledged since is lost, and nothing else; what is left is whole."""
    cost = await after_a_failover(fleet, servers, LAG)
    assert cost.lost or cost.forgotten, "the replica was not behind"


async def after_a_failover(fleet: Fleet, servers: Several, lag: int = 0) -> Cost:
    """What it costs, with so many jobs acknowledged that the replica does not hear of; workers follow by themselves."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        load, havoc = Load(fleet, kernel.get(Client), KINDS), Havoc(fleet, 2, slots=8, LEASE=str(LEASE))
        await havoc.ready()
        victim = servers.owner(SLOT) if isinstance(servers, PrivateCluster) else servers.master
        async with load.going_on():
            await wait_until(lambda: load.acknowledged >= BEFORE, deadline=120)
            behind = time.time()
            if lag:
                await asyncio.to_thread(cut_off_replicas, victim)
                await wait_until(lambda before=load.acknowledged: load.acknowledged >= before + lag, deadline=60)
            with fleet.cut_off():
                began = time.time()
                await asyncio.to_thread(victim.kill)
                at = time.time()
                await wait_until(lambda: first_after(fleet, load, at) is not None, deadline=RESUMED + 20)
            before = load.acknowledged
            await at_work(fleet, havoc.workers, load)
            await wait_until(lambda: load.acknowledged >= before + AFTER, deadline=60)
        await wait_until(fleet.is_over, deadline=60)
    assert [worker.poll() for worker in havoc.workers] == [None, None], fleet.log.read_text()
    assert await havoc.dismiss() == [0, 0], fleet.log.read_text()

    history = load.history()
    cost, resumed = cost_of(history, at), (first_after(fleet, load, at) or at) - began
    recent = [entry for entry in history.entries if entry.event == "dispatched" and at - BEHIND <= entry.at <= at]
    print(
        f"{load.acknowledged} acknowledged, {len(recent)} of them in the last {BEHIND:g} s, replica cut off {at - behind:.2f} s before, "
        f"{load.refused} dispatches refused, resumed after {resumed:.2f} s: {cost}"
    )
    assert resumed <= RESUMED
    assert cost.aftermath <= CLAIM_TO_START
    if lag:
        assert cost.reach <= at - behind
    assert broken(history) == []
    assert "Traceback" not in fleet.log.read_text()
    return cost


def cut_off_replicas(master: PrivateRedis) -> None:
    """Let them hear nothing from now on."""
    master.ask("ACL", "SETUSER", "default", "-psync", "-sync")
    master.ask("CLIENT", "KILL", "TYPE", "replica")


def first_after(fleet: Fleet, load: Load, at: float) -> float | None:
    """When a step began for the first time that was dispatched after that moment."""
    since = {entry.job for entry in fleet.ledger.read() if entry.event == "dispatched" and entry.at > at}
    steps = {job for job in since if load.alone.get(job) is Step}
    begun = [entry.at for entry in fleet.ledger.read() if entry.event == "start" and entry.job in steps]
    return min(begun, default=None)
