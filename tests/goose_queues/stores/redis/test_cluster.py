"""Tests of a cluster: keys are found where they are, while they move, and when a primary has gone."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.crc import key_slot

from goose_queues.errors import StoreUnavailable
from goose_queues.stores.redis.cluster import slot_of
from goose_queues.stores.redis.scripts import Script
from goose_queues.stores.redis.servers import Run, Servers
from servers.private_redis import PrivateCluster
from waiting import wait_until

TEXT = "return {redis.call('INCR', KEYS[1]), redis.call('INCR', KEYS[2])}"
BOTH = Script("both", TEXT, hashlib.sha1(TEXT.encode()).hexdigest())


def both(tag: str) -> Run:
    return Run(BOTH, [f"{{{tag}}}:a", f"{{{tag}}}:b"], [])


@pytest.fixture
def cluster() -> Iterator[PrivateCluster]:
    with PrivateCluster() as several:
        yield several


@pytest.fixture
async def servers(cluster: PrivateCluster) -> AsyncIterator[Servers]:
    opened = Servers(f"{cluster.url}?socket_timeout=2")
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize("key", ["foo", "{foo}:x", "{}foo", "a{foo}{b}", "{foo", "é"])
def test_slots(key: str) -> None:
    assert slot_of(key) == key_slot(key.encode())


async def test_every_key_is_found(servers: Servers) -> None:
    runs = [both(f"q{number}") for number in range(60)]

    assert await servers.run_all(runs) == [[1, 1]] * 60
    assert await asyncio.to_thread(servers.run_blocking, runs[0], timeout=5) == [2, 2]
    assert len(await servers.each_node("DBSIZE")) == 3
    assert len(await servers.scan("{q1*", 10_000)) == 22


async def test_a_slot_that_moves_while_a_script_runs(cluster: PrivateCluster, servers: Servers) -> None:
    """Nothing runs twice, and nothing by half; what is in between is waited for."""
    slot = slot_of("q")
    run = both("q")
    done: list[list[int]] = []
    stop = asyncio.Event()

    async def go_on() -> None:
        while not stop.is_set():
            done.append(await servers.run(run))

    async def blocking() -> None:
        while not stop.is_set():
            done.append(await asyncio.to_thread(servers.run_blocking, run, timeout=5))

    working = [asyncio.ensure_future(each) for each in (go_on(), go_on(), blocking())]
    source = await asyncio.to_thread(cluster.owner, slot)
    for target in [*cluster.nodes[:3], cluster.nodes[0]]:
        if target is source:
            continue
        seen = len(done)
        await wait_until(lambda seen=seen: len(done) > seen + 5)
        await asyncio.to_thread(cluster.begin_move, slot, target)
        # One key after the other: meanwhile the script can run nowhere.
        await asyncio.to_thread(cluster.move_keys, source, target, "{q}:a")
        await asyncio.to_thread(cluster.move_keys, source, target, "{q}:b")
        seen = len(done)
        await wait_until(lambda seen=seen: len(done) > seen + 5)
        await asyncio.to_thread(cluster.end_move, slot, source, target)
        source = target
    seen = len(done)
    await wait_until(lambda: len(done) > seen + 5)
    stop.set()
    await asyncio.gather(*working)

    assert sorted(done) == [[number, number] for number in range(1, len(done) + 1)]


async def test_a_slot_that_stays_in_between(cluster: PrivateCluster, servers: Servers) -> None:
    """After a while the caller is told; the script has not run, and runs when the move is done."""
    run, slot = both("q"), slot_of("q")
    await servers.run(run)
    source = cluster.owner(slot)
    target = next(each for each in cluster.nodes[:3] if each is not source)
    cluster.begin_move(slot, target)
    cluster.move_keys(source, target, "{q}:a")
    with pytest.raises(StoreUnavailable, match="on its way to another node"):
        await servers.run(run)
    cluster.end_move(slot, source, target)

    assert await servers.run(run) == [2, 2]


async def test_a_failover_is_followed(cluster: PrivateCluster, servers: Servers) -> None:
    """Who goes on asking gets answers again within ten seconds, in the event loop and in a thread."""
    await servers.run(both("q"))
    old = cluster.owner(slot_of("q"))
    await asyncio.to_thread(old.kill)
    gone = time.monotonic()
    failed = 0
    while time.monotonic() < gone + 30:
        try:
            await servers.run(both("q"))
            break
        except StoreUnavailable:
            failed += 1
            await asyncio.sleep(0.05)
    assert time.monotonic() - gone < 10
    assert failed
    first, second = await asyncio.to_thread(servers.run_blocking, both("q"), timeout=3)
    assert first == second


async def test_every_node_hears(servers: Servers) -> None:
    heard: list[str] = []
    ready = asyncio.Event()
    listening = asyncio.ensure_future(servers.listen("a*", lambda _, said: heard.append(said), ready.set))
    await ready.wait()
    for number in range(9):
        await servers.command("PUBLISH", f"a{number}", number)
    await wait_until(lambda: len(heard) == 9)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
