"""A Redis server that is killed under load and started again on its files: what that costs, by how it keeps them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import URL

import goose
from checker import CLAIM_TO_START, check
from faults.application import application
from faults.cost import UNWRITTEN, Cost, broken, cost_of
from faults.load import Load, at_work, doubles
from fleet import Fleet
from goose_queues import Client
from havoc import Havoc
from servers.private import PrivateServer
from servers.private_redis import PrivateRedis
from soak import size
from waiting import wait_until

JOBS = size(1000, 5000)
KILLS = size(3, 10)
LEASE = 5.0
TOLERATED = 2.0
"""Seconds before a crash of which everysec may lose what was acknowledged."""
BEFORE, AFTER = size(300, 3000), 100
"""Jobs that are acknowledged before the one kill that may cost something, and behind it."""

ALWAYS = {"appendonly": "yes", "appendfsync": "always"}
EVERYSEC = {"appendonly": "yes", "appendfsync": "everysec"}


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    with PrivateRedis(**request.param) as server:
        yield server


@pytest.fixture
def url(server: PrivateServer) -> URL:
    return server.url


@pytest.mark.parametrize("server", [ALWAYS], indirect=True, ids=["always"])
async def test_what_is_on_the_disk_before_it_is_acknowledged_is_not_lost(fleet: Fleet, server: PrivateRedis) -> None:
    """With appendfsync always: lost 0, whenever the server is killed; nothing runs twice."""
    async with working(fleet) as (load, havoc):
        async with load.going_on():
            for number in range(1, KILLS + 1):
                await wait_until(lambda number=number: load.acknowledged >= JOBS * number // (KILLS + 1), deadline=120)
                await killed(fleet, server, load)
                await at_work(fleet, havoc.workers, load)
            await wait_until(lambda: load.acknowledged >= JOBS, deadline=120)
        await wait_until(fleet.is_over, deadline=120)
    history = load.history()
    print(f"{load.acknowledged} acknowledged, {load.refused} dispatches refused, {len(doubles(history))} ran again")
    assert check(history) == []
    assert doubles(history) == {}


@pytest.mark.parametrize("server", [EVERYSEC], indirect=True, ids=["everysec"])
async def test_a_crash_of_the_server_alone(fleet: Fleet, server: PrivateRedis) -> None:
    """With appendfsync everysec: what it had written is in the hands of the system, which lives on."""
    cost = await after_a_kill(fleet, server, lambda: None)
    assert cost.reach <= TOLERATED


@pytest.mark.parametrize("server", [EVERYSEC], indirect=True, ids=["everysec"])
async def test_a_power_cut(fleet: Fleet, server: PrivateRedis) -> None:
    """The system is gone as well: of what was acknowledged in the last two seconds all is lost, and of nothing else.

    The server writes to the disk once a second, and lets that take another one.
    """
    file = server.folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    sizes: list[tuple[float, int]] = []
    watching = asyncio.create_task(watch(file, sizes))

    def cut() -> None:
        known = next(number for at, number in sizes if at >= time.time() - TOLERATED)
        with file.open("r+b") as log:
            log.truncate(known)

    try:
        cost = await after_a_kill(fleet, server, cut)
    finally:
        watching.cancel()
    assert cost.lost or cost.forgotten, "the cut hit nothing"
    assert cost.acknowledged <= TOLERATED
    assert cost.reach <= TOLERATED + UNWRITTEN


@pytest.mark.parametrize("server", [{}], indirect=True, ids=["snapshots"])
async def test_without_a_log_all_is_lost_since_the_last_snapshot(fleet: Fleet, server: PrivateRedis) -> None:
    saved: list[float] = []

    async def save() -> None:
        saved.append(time.time())
        await asyncio.to_thread(server.ask, "SAVE")
        saved.append(time.time())

    cost = await after_a_kill(fleet, server, lambda: None, save)
    began, ended = saved
    acknowledged = {entry.job: entry.at for entry in fleet.ledger.read() if entry.event == "dispatched"}
    assert cost.acknowledged <= cost.at - began
    assert cost.reach <= cost.at - began + UNWRITTEN
    since = {job for job, at in acknowledged.items() if ended < at < fleet.faults[0].at}
    assert since, "the kill hit nothing"
    assert since <= cost.lost.keys() | cost.forgotten.keys()


async def after_a_kill(
    fleet: Fleet, server: PrivateRedis, harm: Callable[[], None], save: Callable[[], Awaitable[None]] | None = None
) -> Cost:
    """What one kill costs, with harm done to the files before the server comes back; the workers go on by themselves."""
    async with working(fleet) as (load, havoc):
        async with load.going_on():
            if save is not None:
                await wait_until(lambda: load.acknowledged >= BEFORE // 2, deadline=120)
                await save()
            await wait_until(lambda: load.acknowledged >= BEFORE, deadline=120)
            at = await killed(fleet, server, load, harm)
            await at_work(fleet, havoc.workers, load)
            before = load.acknowledged
            await wait_until(lambda: load.acknowledged >= before + AFTER, deadline=60)
        await wait_until(fleet.is_over, deadline=120)
    history = load.history()
    cost = cost_of(history, at)
    print(f"{load.acknowledged} acknowledged, {load.refused} dispatches refused: {cost}")
    assert cost.aftermath <= CLAIM_TO_START
    assert broken(history) == []
    return cost


@asynccontextmanager
async def working(fleet: Fleet) -> AsyncIterator[tuple[Load, Havoc]]:
    """Two workers that have to live through everything, and load for them."""
    fleet.lease = LEASE
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        load, havoc = Load(fleet, kernel.get(Client)), Havoc(fleet, 2, slots=8, LEASE=str(LEASE))
        await havoc.ready()
        yield load, havoc
    assert [worker.poll() for worker in havoc.workers] == [None, None], fleet.log.read_text()
    assert await havoc.dismiss() == [0, 0], fleet.log.read_text()
    assert "Traceback" not in fleet.log.read_text()


async def killed(fleet: Fleet, server: PrivateRedis, load: Load, harm: Callable[[], None] | None = None) -> float:
    """``kill -9`` of the server, which stays away until that is noticed; when."""
    with fleet.cut_off():
        await asyncio.to_thread(server.kill)
        at = time.time()
        if harm is not None:
            harm()
        await wait_until(lambda before=load.refused: load.refused > before)
        await asyncio.to_thread(server.start)
    return at


async def watch(file: Path, sizes: list[tuple[float, int]]) -> None:
    """Note how long a file is, again and again."""
    while True:
        with suppress(FileNotFoundError):
            sizes.append((time.time(), file.stat().st_size))
        await asyncio.sleep(0.005)
