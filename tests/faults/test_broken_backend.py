"""Connections that the server breaks while it commits: what was acknowledged is there, and there once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

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
from servers.proxy import TcpProxy
from servers.shared import connect, driver_of
from soak import size
from waiting import wait_until

KILLS = size(40, 600)
EVERY = 0.05
"""Seconds at least from one to the next."""

# A commit takes so long that it can be hit: it waits for others to commit with.
SETTINGS = {
    "mysql": {"log_bin": "log", "binlog_commit_wait_count": 1000, "binlog_commit_wait_usec": 20_000},
}
# PostgreSQL: for a standby that there is not. Who is killed has committed, and is not told; the others are let go.
SLOWLY = ("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
AS_EVER = ("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
LET_GO = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
KILL = {
    "postgresql": (
        "SELECT query, pg_terminate_backend(pid) FROM (SELECT pid, query FROM pg_stat_activity "
        "WHERE wait_event = 'SyncRep' ORDER BY random() LIMIT 1) it"
    ),
    "mysql": (
        "SELECT info, id FROM information_schema.processlist WHERE state LIKE '%commit%' AND id <> connection_id() "
        "ORDER BY rand() LIMIT 1"
    ),
}


@pytest.fixture
def proxy(server: PrivateServer) -> Iterator[TcpProxy]:
    with TcpProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def url(server: PrivateServer, proxy: TcpProxy) -> URL:
    return proxy.url if driver_of(server.url) == "redis" else server.url


async def test_kills_in_mid_commit(fleet: Fleet, server: PrivateServer, proxy: TcpProxy) -> None:
    """Under dispatches and settles: all that was acknowledged runs, nothing runs twice, callbacks come once."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        load, havoc = Load(fleet, kernel.get(Client)), Havoc(fleet, 2, slots=8)
        await havoc.ready()
        async with load.going_on():
            # Who has not found the store yet says so with a traceback.
            await at_work(fleet, havoc.workers, load)
            if driver_of(server.url) == "redis":
                hit = await withhold_answers(proxy)
            else:
                hit = await asyncio.to_thread(kill_connections, server.url)
        await wait_until(fleet.is_over, deadline=60)
    assert [worker.poll() for worker in havoc.workers] == [None, None], fleet.log.read_text()
    assert await havoc.dismiss() == [0, 0], fleet.log.read_text()

    history = load.history()
    print(f"{load.acknowledged} acknowledged, {load.refused} dispatches refused, broken off at {hit}")
    assert history.faults == ()
    assert check(history) == []
    assert doubles(history) == {}
    assert load.refused <= KILLS // 4, "a dispatch in doubt was not looked after"
    assert hit.get("COMMIT", 0) + hit.get("EVALSHA", 0) > KILLS // 10, "the kills hit no commit"
    assert "Traceback" not in fleet.log.read_text()


async def withhold_answers(proxy: TcpProxy) -> dict[str, int]:
    """Have scripts run whose connection breaks before their answer; how many connections, by what they had sent."""
    for number in range(1, KILLS + 1):
        proxy.break_next()
        await wait_until(lambda number=number: len(proxy.broken) == number)
        await asyncio.sleep(EVERY)
    # Words stand on lines of their own, the first one on the third.
    return dict(Counter(sent.split(b"\r\n", 3)[2].decode() for sent in proxy.broken))


def kill_connections(url: URL) -> dict[str, int]:
    """End connections that are about to commit, one at a time; how many, by the first word of what they said."""
    hit: dict[str, int] = {}
    kind = url.get_backend_name()
    with closing(connect(url)) as raw, raw.cursor() as cursor:

        def say(*statements: str) -> None:
            for statement in statements if kind == "postgresql" else ():
                cursor.execute(statement)

        say(*SLOWLY)
        end, following = time.monotonic() + 10 * KILLS * EVERY + 30, 0.0
        while sum(hit.values()) < KILLS and time.monotonic() < end:
            if time.monotonic() >= following:
                cursor.execute(KILL[kind])
                if (found := cursor.fetchone()) is not None:
                    if kind == "mysql":
                        cursor.execute(f"KILL {found[1]}")
                    word = str(found[0] or "nothing").split()[0].upper()
                    hit[word] = hit.get(word, 0) + 1
                    following = time.monotonic() + EVERY
            say(LET_GO)
            time.sleep(0.002)
        say(*AS_EVER)
    return hit
