"""A master that is killed under load: another takes its place, and the workers follow it by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import goose
from checker import CLAIM_TO_START, History
from faults.application import Limited, Odd, Step, application
from faults.cost import UNWRITTEN, Cost, broken, cost_of
from faults.load import Load, at_work, doubles
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
HALF_FORGOTTEN = {"lost", "callback missing", "no reason", "attempts", "chain order", "two successors"}
"""What may be said of a group of which one node has forgotten something: a link that is not released, or was cancelled for
that, a callback that is not called, and a link that runs again after the next one has begun on another node."""
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
    outcome = await after_a_failover(fleet, servers)
    assert outcome.cost.reach <= BEHIND
    assert outcome.stuck == []
    assert broken(outcome.history) == []


async def test_a_replica_that_has_fallen_behind(fleet: Fleet, servers: Several) -> None:
    """What was acknowledged since is lost, and nothing from before; what is left is whole.

    In a cluster the other nodes remember what this one has forgotten: a link may wait for an end that nobody will tell of
    again, and a callback may not be called. Only groups that had to do with those moments are like that, and nothing of them
    is done twice.
    """
    outcome = await after_a_failover(fleet, servers, LAG)
    cost, history = outcome.cost, outcome.history
    assert cost.lost or cost.forgotten, "the replica was not behind"
    assert cost.acknowledged <= cost.at - outcome.behind
    assert cost.reach <= cost.at - outcome.behind + UNWRITTEN
    assert broken(without_groups(history, outcome.behind, outcome.resumed)) == []
    if isinstance(servers, PrivateCluster):
        assert {violation.kind for violation in broken(history)} <= HALF_FORGOTTEN
        assert {outcome.kind_of.get(job, Step) for job in doubles(history)} <= {Step}, "a node that lived has forgotten"
    else:
        assert outcome.stuck == []
        assert broken(history) == []


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a failover."""

    history: History
    cost: Cost
    behind: float
    """Since when the replica may have heard nothing, in seconds since the epoch."""
    resumed: float
    """When the first job of a queue that the dead server had began."""
    kind_of: Mapping[str, type[Step]]
    """Of every job but callbacks."""
    stuck: list[str]
    """Links that would have waited for ever; they are cancelled in the end."""


async def after_a_failover(fleet: Fleet, servers: Several, lag: int = 0) -> Outcome:
    """What becomes of it, with so many jobs acknowledged that the replica does not hear of; workers follow by themselves."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        queue = kernel.get(Client)
        load, havoc = Load(fleet, queue, KINDS), Havoc(fleet, 2, slots=8, LEASE=str(LEASE))
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
        await wait_until(SeveralHand(servers).is_idle, deadline=60)
        stuck = [job.id for job in fleet.hand.jobs() if job.status == "pending"]
        for job in stuck:
            await queue.cancel(job)
        await wait_until(fleet.is_over)
    assert [worker.poll() for worker in havoc.workers] == [None, None], fleet.log.read_text()
    assert await havoc.dismiss() == [0, 0], fleet.log.read_text()
    assert "Traceback" not in fleet.log.read_text()

    history, resumed = load.history(), first_after(fleet, load, at) or at
    cost = cost_of(history, at)
    recent = [entry for entry in history.entries if entry.event == "dispatched" and at - BEHIND <= entry.at <= at]
    print(
        f"{load.acknowledged} acknowledged, {len(recent)} of them in the last {BEHIND:g} s, {load.refused} refused; replica "
        f"cut off {at - behind if lag else 0:.2f} s before; resumed after {resumed - began:.2f} s: {cost}; {len(stuck)} stuck"
    )
    assert resumed - began <= RESUMED
    assert cost.aftermath <= CLAIM_TO_START
    return Outcome(history, cost, behind, resumed, load.kind_of, stuck)


def without_groups(history: History, since: float, until: float) -> History:
    """The same without the chains and batches of which anything was dispatched, began or ended in that time."""
    touched = {entry.job for entry in history.entries if since <= entry.at <= until}
    groups = [*history.chains, *(batch.members for batch in history.batches)]
    gone = {job for group in groups if touched.intersection(group) for job in group}
    return replace(
        history,
        dispatched={job: facts for job, facts in history.dispatched.items() if job not in gone},
        entries=[entry for entry in history.entries if entry.job not in gone],
        endings={job: ending for job, ending in history.endings.items() if job not in gone},
        chains=[chain for chain in history.chains if not gone.intersection(chain)],
        batches=[batch for batch in history.batches if not gone.intersection(batch.members)],
    )


def cut_off_replicas(master: PrivateRedis) -> None:
    """Let them hear nothing from now on."""
    master.ask("ACL", "SETUSER", "default", "-psync", "-sync")
    master.ask("CLIENT", "KILL", "TYPE", "replica")


def first_after(fleet: Fleet, load: Load, at: float) -> float | None:
    """When a step began for the first time that was dispatched after that moment."""
    since = {entry.job for entry in fleet.ledger.read() if entry.event == "dispatched" and entry.at > at}
    steps = {job for job in since if load.kind_of.get(job) is Step}
    begun = [entry.at for entry in fleet.ledger.read() if entry.event == "start" and entry.job in steps]
    return min(begun, default=None)
