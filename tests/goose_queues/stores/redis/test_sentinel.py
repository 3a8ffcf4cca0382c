"""Tests of a master behind sentinels: it is found, and found again after a failover."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator

import pytest

from goose_queues.errors import StoreUnavailable
from goose_queues.stores.redis.scripts import Script
from goose_queues.stores.redis.servers import Run, Servers
from servers.private_redis import PrivateSentinels
from waiting import wait_until

COUNT_TEXT = "return redis.call('INCR', KEYS[1])"
COUNT = Script("count", COUNT_TEXT, hashlib.sha1(COUNT_TEXT.encode()).hexdigest())
RUN = Run(COUNT, ["n"], [])


@pytest.fixture
def sentinels() -> Iterator[PrivateSentinels]:
    with PrivateSentinels() as several:
        yield several


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_failover_is_followed(sentinels: PrivateSentinels, how: str) -> None:
    """Who goes on asking gets answers again within ten seconds, in the event loop and in a thread."""
    servers = Servers(sentinels.url.replace("/goosemaster", "/goosemaster?socket_timeout=2"))
    await servers.open()
    assert await servers.run(RUN) == 1
    assert await asyncio.to_thread(servers.run_blocking, RUN, timeout=2) == 2
    old = sentinels.master
    await asyncio.to_thread(getattr(old, how))
    gone = time.monotonic()
    failed = 0
    while time.monotonic() < gone + 30:
        try:
            await servers.run(RUN)
            break
        except StoreUnavailable:
            failed += 1
            await asyncio.sleep(0.05)
    assert time.monotonic() - gone < 10
    assert failed
    # The other sentinels hear of it from the first.
    await wait_until(lambda: sentinels.master is not old)
    await asyncio.to_thread(servers.run_blocking, RUN, timeout=3)
    await servers.close()
    if how == "freeze":
        old.thaw()


async def test_a_master_that_nobody_knows(sentinels: PrivateSentinels) -> None:
    with pytest.raises(StoreUnavailable, match="knows no master 'other'"):
        await Servers(sentinels.url.replace("goosemaster", "other")).open()


async def test_sentinels_that_are_gone_do_not_matter(sentinels: PrivateSentinels) -> None:
    sentinels.sentinels[0].kill()
    servers = Servers(sentinels.url)
    await servers.open()

    assert await servers.run(RUN) == 1
    await servers.close()
