"""Tests of Database while its server is restarted, killed, full, frozen or cut off: private servers, every driver."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import text
from sqlalchemy.engine import Connection

from goose_sql import CommitInDoubt, Database, DatabaseUnavailable
from servers.drivers import CHOSEN, DRIVERS, SERVER_OF, by
from servers.private import PrivateMariaDB, PrivatePostgres, PrivateServer
from servers.proxy import TcpProxy
from servers.shared import connect
from waiting import wait_until

KINDS: dict[str, type[PrivateServer]] = {"postgres": PrivatePostgres, "mysql": PrivateMariaDB}
SLEEP = {"postgres": "SELECT pg_sleep(:n)", "mysql": "SELECT sleep(:n)"}


@pytest.fixture(scope="module")
def private() -> Iterator[Callable[[str], PrivateServer]]:
    """One server of each kind for all these tests, running when a test begins."""
    with ExitStack() as running:
        yield functools.cache(lambda name: running.enter_context(KINDS[name](max_connections=20)))


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(driver: str, private: Callable[[str], PrivateServer]) -> PrivateServer:
    return private(SERVER_OF[driver])


@pytest.fixture
async def database(driver: str, server: PrivateServer) -> AsyncIterator[Database]:
    async with Database(by(driver, server.url), pool_size=3) as database:
        await database.write(lambda connection: connection.execute(text("DROP TABLE IF EXISTS eggs")))
        await database.write(lambda connection: connection.execute(text("CREATE TABLE eggs (id INT PRIMARY KEY)")))
        yield database


def add(number: int) -> Callable[[Connection], int]:
    def operation(connection: Connection) -> int:
        return connection.execute(text("INSERT INTO eggs VALUES (:id)"), {"id": number}).rowcount

    return operation


def sleep(driver: str, seconds: float) -> Callable[[Connection], Any]:
    return lambda connection: connection.scalar(text(SLEEP[SERVER_OF[driver]]), {"n": seconds})


def ids(connection: Connection) -> list[int]:
    return list(connection.scalars(text("SELECT id FROM eggs ORDER BY id")))


async def warm(database: Database, driver: str) -> None:
    """Have the pool full of connections at rest."""
    await asyncio.gather(*(database.read(sleep(driver, 0.1)) for _ in range(3)))
    pool: Any = database.engine.pool
    assert (pool.checkedin(), pool.checkedout()) == (3, 0)


@pytest.mark.parametrize("immediate", [True, False])
async def test_restarted(database: Database, driver: str, server: PrivateServer, immediate: bool) -> None:
    """After a restart nobody sees that the connections in the pool are dead."""
    await warm(database, driver)
    await asyncio.to_thread(database.write_blocking, add(0))
    await asyncio.to_thread(server.restart, immediate=immediate)
    done = await asyncio.gather(
        database.write(add(1)), database.write(add(2), single=True), database.write(add(3)), database.read(ids),
        asyncio.to_thread(database.write_blocking, add(4)),
    )  # fmt: skip
    assert done[:3] == [1, 1, 1]
    async with database.session() as session:
        await session.execute(text("INSERT INTO eggs VALUES (5)"))
        await session.commit()
    assert await database.read(ids) == [0, 1, 2, 3, 4, 5]


async def test_terminated_at_rest(database: Database, driver: str, server: PrivateServer) -> None:
    """A connection that was terminated at rest is replaced without a word."""
    await warm(database, driver)
    with closing(connect(server.url)) as administrator, administrator.cursor() as cursor:
        for pid in others(administrator):
            cursor.execute(f"SELECT pg_terminate_backend({pid})" if is_postgres(driver) else f"KILL {pid}")
        await wait_until(lambda: not others(administrator))
    for number in range(3):
        assert await database.write(add(number), single=True) == 1


def is_postgres(driver: str) -> bool:
    return SERVER_OF[driver] == "postgres"


def others(administrator: Any) -> list[int]:
    """The connections to the database besides one's own."""
    with administrator.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = 'test' AND pid <> pg_backend_pid()"
            if isinstance(administrator, psycopg.Connection)
            else "SELECT id FROM information_schema.processlist WHERE db = 'test' AND id <> connection_id()"
        )
        return [int(pid) for (pid,) in cursor.fetchall()]


async def test_killed_in_a_transaction_that_is_given_up(
    database: Database, driver: str, server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its connection is thrown away, and nothing is said of a rollback that was not possible; the next one works."""
    pid_of = "SELECT pg_backend_pid()" if is_postgres(driver) else "SELECT connection_id()"

    def die(connection: Connection) -> None:
        connection.execute(text("INSERT INTO eggs VALUES (1)"))
        pid = connection.scalar(text(pid_of))
        with closing(connect(server.url)) as killer, closing(killer.cursor()) as cursor:
            cursor.execute(f"SELECT pg_terminate_backend({pid})" if is_postgres(driver) else f"KILL {pid}")
        raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, DatabaseUnavailable)):
        await database.write(die)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("sqlalchemy")] == []
    assert await database.write(add(1)) == 1


async def test_down_and_up(database: Database, driver: str, server: PrivateServer) -> None:
    """While the server is down or comes up, everything fails in one line without the password; then it works again."""
    await warm(database, driver)
    waiting = [asyncio.create_task(database.write(sleep(driver, 60), single=single)) for single in (True, False)]
    pool: Any = database.engine.pool
    await wait_until(lambda: pool.checkedout() == 2)
    await asyncio.to_thread(server.stop, immediate=True)
    failures = await asyncio.gather(*waiting, return_exceptions=True)
    for attempt in (database.write(add(1)), database.read(ids), database.check()):
        with pytest.raises(DatabaseUnavailable) as failure:
            await attempt
        failures.append(failure.value)
    with pytest.raises(DatabaseUnavailable) as failure:
        await asyncio.to_thread(database.write_blocking, add(1))
    for each in (*failures, failure.value):
        assert isinstance(each, DatabaseUnavailable)
        assert "\n" not in str(each)
        assert str(each).startswith(f"The database {database.url} ")
    server.launch()
    refused: list[BaseException] = []

    async def works() -> bool:
        try:
            return await database.write(add(len(refused) + 1)) == 1
        except DatabaseUnavailable as error:
            refused.append(error)
            return False

    await wait_until(works)
    server.wait_until_ready()
    assert not any("\n" in str(error) for error in refused)


@pytest.mark.parametrize("driver", [each for each in DRIVERS if each != "postgresql+asyncpg"], indirect=True)
async def test_lost_in_doubt(database: Database, driver: str, server: PrivateServer) -> None:
    """A connection that breaks during the commit leaves the caller in doubt, and says so; before it, it does not."""
    task = asyncio.create_task(database.write(sleep(driver, 60), single=True))
    with closing(connect(server.url)) as administrator:
        await wait_until(lambda: bool(others(administrator)) and bool(database.engine.pool.checkedout()))  # type: ignore[attr-defined]
        await terminate(server, driver)
    with pytest.raises(CommitInDoubt) as failure:
        await task
    assert str(failure.value).startswith(f"The database {database.url} did not say whether it has committed: ")


async def terminate(server: PrivateServer, driver: str) -> None:
    """End the connection that sleeps."""
    ended = 0

    def end() -> bool:
        nonlocal ended
        with closing(connect(server.url)) as administrator, administrator.cursor() as cursor:
            if is_postgres(driver):
                cursor.execute(
                    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%' AND state = 'active'"
                )
            else:
                cursor.execute("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT sleep(%'")
            for (pid,) in cursor.fetchall():
                ended += 1
                cursor.execute(f"SELECT pg_terminate_backend({pid})" if is_postgres(driver) else f"KILL {pid}")
        return ended > 0

    await wait_until(end)


async def test_commit_that_breaks(driver: str, server: PrivateServer) -> None:
    """A commit whose answer does not come is in doubt, and is not tried again, as it may have happened."""
    with TcpProxy(server.url) as proxy:
        async with Database(by(driver, proxy.url), pool_size=2) as database:
            await database.write(lambda connection: connection.execute(text("DROP TABLE IF EXISTS doubts")))
            await database.write(lambda connection: connection.execute(text("CREATE TABLE doubts (id INT)")))
            runs = 0

            def operation(connection: Connection) -> None:
                nonlocal runs
                runs += 1
                connection.execute(text("INSERT INTO doubts VALUES (1)"))
                proxy.cut()

            with pytest.raises(CommitInDoubt):
                await database.write(operation)
            assert runs == 1
            assert await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM doubts"))) == 0


async def test_full(database: Database, driver: str, server: PrivateServer) -> None:
    """A server that lets nobody else in is not available, and is again when somebody leaves."""
    await database.engine.dispose()
    guests = []
    try:
        while True:
            guests.append(connect(server.url))
    except (psycopg.OperationalError, pymysql.OperationalError):
        pass
    try:
        with pytest.raises(DatabaseUnavailable, match=r"(?i)too many (clients|connections)"):
            await database.write(add(1))
    finally:
        for guest in guests:
            guest.close()

    async def works() -> bool:
        try:
            return await database.write(add(1)) == 1
        except DatabaseUnavailable:
            return False

    await wait_until(works)


async def test_reset(driver: str, server: PrivateServer) -> None:
    """Connections that are reset at rest are replaced; one that is reset in use begins its transaction again."""
    with TcpProxy(server.url) as proxy:
        async with Database(by(driver, proxy.url), pool_size=2) as database:
            await asyncio.gather(*(database.read(sleep(driver, 0.1)) for _ in range(2)))
            proxy.cut()
            assert await database.write(lambda connection: connection.scalar(text("SELECT 1")), single=True) == 1
            runs = 0

            def operation(connection: Connection) -> Any:
                nonlocal runs
                runs += 1
                if runs == 1:
                    proxy.cut()
                return connection.scalar(text("SELECT 2"))

            assert await database.write(operation) == 2
            assert runs == 2


async def test_blocked_loop(database: Database, driver: str) -> None:
    """A heartbeat is written while the event loop is blocked, by way of one connection that is made for it."""
    threads = asyncio.get_running_loop().run_in_executor
    first = threads(None, database.write_blocking, add(1))
    done = []
    beat = threads(None, lambda: done.append(database.write_blocking(add(2))))
    end = time.monotonic() + 20
    while not done and time.monotonic() < end:
        time.sleep(0.01)  # noqa: ASYNC251 - this is what a handler does that should not
    assert done == [1]
    await asyncio.gather(first, beat)


async def test_blocking_call_out_of_time(database: Database, driver: str, server: PrivateServer) -> None:
    """A call that takes too long is given up with its connection, and the next one does not wait for it."""
    call = functools.partial(database.write_blocking, timeout=0.3)
    with pytest.raises(DatabaseUnavailable) as failure:
        await asyncio.to_thread(call, lambda connection: (add(1)(connection), sleep(driver, 3)(connection)))
    assert failure.value.reason == "it did not answer within 0.3 s."
    assert await asyncio.to_thread(database.write_blocking, add(2), timeout=20) == 1
    await wait_until(lambda: _has_ids(server, [2]))


def _has_ids(server: PrivateServer, expected: list[int]) -> bool:
    with closing(connect(server.url)) as administrator, administrator.cursor() as cursor:
        cursor.execute("SELECT id FROM eggs ORDER BY id")
        return [number for (number,) in cursor.fetchall()] == expected


class Proxied:
    """A database behind a line that may go silent; the two chosen drivers."""

    @pytest.fixture(params=CHOSEN.values())
    def driver(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def proxy(self, server: PrivateServer) -> Iterator[TcpProxy]:
        with TcpProxy(server.url) as proxy:
            yield proxy

    @pytest.fixture
    async def database(self, driver: str, proxy: TcpProxy) -> AsyncIterator[Database]:
        async with Database(by(driver, proxy.url), pool_size=2) as database:
            yield database


class TestBlackhole(Proxied):
    @pytest.mark.parametrize("acknowledge", [True, False])
    async def test_blackhole(self, database: Database, driver: str, proxy: TcpProxy, acknowledge: bool) -> None:
        """Whoever waits for a server that has gone silent is told, more than the pool holds; then it works again."""

        def touch(connection: Connection) -> Any:
            return connection.scalar(text("SELECT 1"))

        await asyncio.to_thread(database.write_blocking, touch)
        proxy.blackhole(acknowledge=acknowledge)
        async with asyncio.timeout(25):
            failures = await asyncio.gather(
                *(database.write(touch, single=bool(n % 2)) for n in range(6)),
                asyncio.to_thread(database.write_blocking, touch),
                return_exceptions=True,
            )
        assert [isinstance(each, DatabaseUnavailable) for each in failures] == [True] * 7
        assert all("\n" not in str(each) for each in failures)
        proxy.pass_through()

        async def works() -> bool:
            try:
                return await database.write(touch) == 1
            except DatabaseUnavailable:
                return False

        await wait_until(works)

    async def test_long_statement(self, database: Database, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A statement may take as long as it likes while its server answers others."""
        for name in ("_TICK", "_PATIENCE", "_BETWEEN"):
            monkeypatch.setattr(f"goose_sql.watching.{name}", 0.1)
        watch: Any = database._open._server.watch  # type: ignore[attr-defined]
        asked = 0
        ask = watch._ask

        async def counted() -> None:
            nonlocal asked
            await ask()
            asked += 1

        watch._ask = counted
        await watch.stop()
        watch.start()
        task = asyncio.create_task(database.write(sleep(driver, 3)))
        await wait_until(lambda: asked >= 3)
        await task
        assert watch.silent_for is None


@pytest.mark.parametrize("driver", [each for each in DRIVERS if each not in CHOSEN.values()], indirect=True)
async def test_frozen(database: Database, driver: str, server: PrivateServer) -> None:
    """A server that is frozen in the middle of a statement is noticed, and works again when it is thawed."""
    task = asyncio.create_task(database.write(sleep(driver, 1)))
    pool: Any = database.engine.pool
    await wait_until(lambda: pool.checkedout() == 1)
    server.freeze()
    try:
        async with asyncio.timeout(25):
            with pytest.raises(DatabaseUnavailable, match=r"it has not answered for \d+ s\.$"):
                await task
    finally:
        server.thaw()

    async def works() -> bool:
        try:
            return await database.write(add(1)) == 1
        except DatabaseUnavailable:
            return False

    await wait_until(works)
