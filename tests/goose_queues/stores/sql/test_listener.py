"""The listener on PostgreSQL: what breaks its line is got over, and where nothing arrives it says so once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from typing import Any, TypeAlias

import pytest
from sqlalchemy import URL, make_url

from goose_queues.clock import Clock
from goose_queues.stores.sql.listener import Listener
from goose_queues.stores.sql.poll import Poll
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.private import Pgbouncer, PrivatePostgres
from servers.proxy import TcpProxy
from servers.shared import connect, room
from store_contract.making import claim, new_job
from waiting import wait_until

Open: TypeAlias = Callable[..., Awaitable[SqlStore]]

DRIVERS = ("psycopg", "asyncpg")


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    """One that may be killed."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture(params=DRIVERS)
def url(request: pytest.FixtureRequest, server: PrivatePostgres) -> URL:
    return server.url.set(drivername=f"postgresql+{request.param}")


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Open a store, which stands for a process."""
    async with AsyncExitStack() as stack:

        async def open_store(url: URL, listen_url: URL | None = None) -> SqlStore:
            listen = None if listen_url is None else listen_url.render_as_string(hide_password=False)
            store = SqlStore(Database(url), Clock(), owns_database=True, auto_migrate=True, listen_url=listen)
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield open_store


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is heard is heard by notification, or found by the look after a new connection."""

    async def rest(poll: Poll, is_needed: Callable[[], bool]) -> None:
        return

    monkeypatch.setattr(Poll, "run", rest)


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "goose_queues.wakeup")
    return caplog


async def listening(store: SqlStore, *queues: str) -> set[str]:
    """What a worker hears that has looked in these queues in vain."""
    heard: set[str] = set()
    for queue in queues:
        await claim(store, queue=queue)
    store.subscribe(heard.update)
    return heard


async def insert(store: SqlStore, queue: str, heard: set[str]) -> None:
    await store.insert([new_job(queue=queue)])
    await wait_until(lambda: queue in heard)
    await claim(store, queue=queue)


def run(url: URL, statement: str) -> list[tuple[Any, ...]]:
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


LISTENERS = "FROM pg_stat_activity WHERE datname = 'test' AND query ~ '^(LISTEN|SELECT 1 FROM pg_listening|UNLISTEN)'"


@pytest.mark.usefixtures("no_poll")
async def test_a_killed_connection_is_made_anew_and_nothing_is_missed(
    url: URL, opened: Open, log: pytest.LogCaptureFixture
) -> None:
    here, there = await opened(url), await opened(url)
    heard = await listening(here, "one", "two", "three")
    await insert(there, "one", heard)
    assert run(url, f"SELECT pg_terminate_backend(pid) {LISTENERS}") == [(True,)]
    await there.insert([new_job(queue="two")])
    await wait_until(lambda: "two" in heard)
    await insert(there, "three", heard)
    await wait_until(lambda: "Notifications of new jobs arrive again" in log.text)
    assert log.text.count("Notifications of new jobs do not arrive") == 1


@pytest.mark.usefixtures("no_poll")
async def test_a_restart_of_the_server_is_survived(
    url: URL, opened: Open, server: PrivatePostgres, log: pytest.LogCaptureFixture
) -> None:
    here, there = await opened(url), await opened(url)
    heard = await listening(here, "one", "two")
    await insert(there, "one", heard)
    await asyncio.to_thread(server.restart, immediate=True)
    await insert(there, "two", heard)
    assert log.text.count("Notifications of new jobs do not arrive") == 1


@pytest.mark.usefixtures("no_poll")
@pytest.mark.parametrize("acknowledge", [True, False])
async def test_a_line_that_swallows_everything_is_found_out(
    url: URL, opened: Open, acknowledge: bool, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("goose_queues.stores.sql.listener.CHECKED", 0.1)
    monkeypatch.setattr("goose_queues.stores.sql.ear.ANSWER", 0.2)
    with TcpProxy(url) as proxy:
        here, there = await opened(url, proxy.url), await opened(url)
        heard = await listening(here, "one", "two")
        await insert(there, "one", heard)
        proxy.blackhole(acknowledge=acknowledge)
        await there.insert([new_job(queue="two")])
        await wait_until(lambda: "Notifications of new jobs do not arrive" in log.text)
        assert "two" not in heard
        proxy.pass_through()
        await wait_until(lambda: "two" in heard)
        await here.close()


async def test_behind_a_pooler_it_polls_and_says_so_once(
    url: URL, opened: Open, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("goose_queues.stores.sql.listener.PROBE", 0.3)
    with Pgbouncer(url.set(drivername="postgresql")) as bouncer:
        behind = bouncer.url.set(drivername=url.drivername)
        here, there = await opened(behind), await opened(behind)
        heard = await listening(here, "one", "two")
        await insert(there, "one", heard)
        await wait_until(lambda: "let listen_url lead past the pooler" in log.text)
        await insert(there, "two", heard)
        assert len(log.records) == 1
        await here.close()
        await there.close()


@pytest.mark.usefixtures("no_poll")
async def test_past_the_pooler_it_hears(url: URL, opened: Open, log: pytest.LogCaptureFixture) -> None:
    with Pgbouncer(url.set(drivername="postgresql")) as bouncer:
        behind = bouncer.url.set(drivername=url.drivername)
        here, there = await opened(behind, url), await opened(behind)
        heard = await listening(here, "one")
        await insert(there, "one", heard)
        assert log.records == []
        await here.close()
        await there.close()


@pytest.mark.usefixtures("no_poll")
async def test_a_server_that_forgets_who_listens_is_told_again(
    url: URL, opened: Open, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("goose_queues.stores.sql.listener.CHECKED", 0.05)

    async def forgotten(ear: object, channel: str) -> bool:
        return False

    here, there = await opened(url), await opened(url)
    heard = await listening(here, "one", "two")
    await insert(there, "one", heard)
    with monkeypatch.context() as patch:
        patch.setattr("goose_queues.stores.sql.ear._PsycopgEar.hears", forgotten)
        patch.setattr("goose_queues.stores.sql.ear._AsyncpgEar.hears", forgotten)
        await wait_until(lambda: "the server has forgotten that somebody listens" in log.text)
    await insert(there, "two", heard)


@pytest.mark.usefixtures("no_poll")
async def test_what_a_process_says_it_does_not_hear_itself(url: URL, opened: Open) -> None:
    here, there = await opened(url), await opened(url)
    told: list[frozenset[str]] = []
    await claim(here, queue="zero")
    here.subscribe(told.append)
    heard = await listening(there, "one", "two")
    # It looks once it listens, so from then on it does.
    await there.insert([new_job(queue="zero")])
    await wait_until(lambda: any("zero" in queues for queues in told))
    await insert(here, "one", heard)
    await there.insert([new_job(queue="two")])
    await wait_until(lambda: frozenset({"two"}) in told)
    assert told.count(frozenset({"one"})) == 1


async def test_nobody_polls_while_notifications_arrive(url: URL, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, turns = Poll.look, [0]

    async def look(poll: Poll) -> None:
        turns[0] = 0
        await looking(poll)

    def pause(poll: Poll) -> float:
        turns[0] += 1
        return 0.0

    monkeypatch.setattr(Poll, "look", look)
    monkeypatch.setattr(Poll, "_pause", pause)
    here, there = await opened(url), await opened(url)
    heard = await listening(here, "one", "two")
    await insert(there, "one", heard)
    await wait_until(lambda: turns[0] > 20)
    await insert(there, "two", heard)


async def test_who_only_dispatches_has_no_connection_for_it(url: URL, opened: Open) -> None:
    store = await opened(url)
    await store.insert([new_job()])
    assert run(url, f"SELECT count(*) {LISTENERS}") == [(0,)]
    unsubscribe = store.subscribe(lambda _: None)
    await wait_until(lambda: run(url, f"SELECT count(*) {LISTENERS}") == [(1,)])
    unsubscribe()
    await wait_until(lambda: run(url, f"SELECT count(*) {LISTENERS}") == [(0,)])


async def test_a_driver_that_cannot_hear_is_named(log: pytest.LogCaptureFixture) -> None:
    async def nothing(*_: object) -> Any:
        raise AssertionError

    listener = Listener(
        make_url("postgresql+other://here/db"),
        channel=nothing,
        sender="me",
        send=nothing,
        tell=lambda _: None,
        look=nothing,
    )
    await listener.run()
    assert [record.getMessage() for record in log.records] == [
        "The driver other cannot listen for new jobs: polling. Use psycopg or asyncpg to hear of them at once"
    ]


async def test_another_database_at_listen_url_is_told_from_a_pooler(
    server: PrivatePostgres, opened: Open, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("goose_queues.stores.sql.listener.PROBE", 0.1)
    store = await opened(server.url, room("postgres").url)
    store.subscribe(lambda _: None)
    await wait_until(lambda: "a notification did not arrive" in log.text)
