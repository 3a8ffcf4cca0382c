"""Tests of Database on the shared servers, by every driver: transactions, conflicts, cancellation, sessions, migrations."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, event, insert, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.util import await_only

from goose_sql import Database, DatabaseUnavailable, SqlModule, Tables, open_units, unit_of
from goose_sql.errors import ConfigError, SmallPool, UnsupportedDatabase
from goose_sql.migrations import check, migrate, pending, revise
from servers.drivers import CHOSEN, DRIVERS, SERVER_OF, by
from servers.proxy import TcpProxy
from servers.shared import Room, room
from waiting import wait_until

METADATA = MetaData()
EGGS = Table("eggs", METADATA, Column("id", Integer, primary_key=True), Column("name", String(99), unique=True))


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ours(driver: str) -> Room:
    return room(SERVER_OF[driver])


@pytest.fixture
async def database(driver: str, ours: Room) -> AsyncIterator[Database]:
    ours.clear()
    async with Database(by(driver, ours.url), pool_size=3) as database:
        await database.write(METADATA.create_all)
        yield database


def checked_out(database: Database) -> int:
    pool: Any = database.engine.pool
    return int(pool.checkedout())


async def test_write_and_read(database: Database, eggs: Any) -> None:
    """An operation is one transaction; its own errors come back unchanged, what a read does is undone."""
    assert await database.write(eggs.add("a")) == "a"
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: (eggs.add("b")(connection), eggs.add("a")(connection)))
    await database.read(eggs.add("c"))
    await database.check()
    assert await database.read(eggs.names) == ["a"]
    assert checked_out(database) == 0


async def test_single(database: Database, eggs: Any) -> None:
    """A single statement is durable, its error its own, and what comes after it on the connection a transaction."""
    await database.write(eggs.add("a"), single=True)
    with pytest.raises(IntegrityError):
        await database.write(eggs.add("a"), single=True)
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda connection: (eggs.add("b")(connection), 1 / 0))
    assert await database.read(eggs.names, single=True) == ["a"]
    async with database.session() as session:
        await session.execute(insert(EGGS), {"name": "c"})
    assert await database.read(eggs.names) == ["a"]


@pytest.mark.parametrize(
    ("driver", "transaction", "reading"),
    [("postgresql+psycopg", 3, 3), ("mysql+asyncmy", 2, 3), ("mysql+aiomysql", 2, 3)],
    indirect=["driver"],
)
async def test_round_trips(driver: str, ours: Room, transaction: int, reading: int) -> None:
    """Nothing is said to the server but what is needed: no ping, no second ROLLBACK, and one statement is one message."""

    def touch(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))

    with TcpProxy(ours.url) as proxy:
        async with Database(by(driver, proxy.url), pool_size=2) as database:

            async def trips(run: Callable[..., Any], **options: bool) -> int:
                await run(touch, **options)
                before = proxy.pieces
                for _ in range(5):
                    await run(touch, **options)
                return proxy.pieces - before

            assert await trips(database.write, single=True) == 5
            assert await trips(database.read, single=True) == 5
            assert await trips(database.write) == 5 * transaction
            assert await trips(database.read) == 5 * reading


async def test_what_only_reads_sees_one_moment(database: Database, eggs: Any) -> None:
    """What somebody else commits between two of its statements it does not see, and the next one does."""

    async def between(write: Any) -> tuple[list[str], list[str]]:
        loop = asyncio.get_running_loop()

        def operation(connection: Connection) -> tuple[list[str], list[str]]:
            before = eggs.names(connection)
            await_only(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(write, loop)))
            return before, eggs.names(connection)

        return await database.read(operation)

    assert await between(database.write(eggs.add("a"))) == ([], [])
    assert await between(database.write(eggs.add("b"))) == (["a"], ["a"])


async def test_from_threads(database: Database, eggs: Any) -> None:
    """Threads write with write_blocking, one after the other; its one thread ends with the database."""
    writes = (asyncio.to_thread(database.write_blocking, eggs.add(str(number))) for number in range(5))
    assert await asyncio.gather(*writes) == ["0", "1", "2", "3", "4"]
    assert await database.read(eggs.names) == ["0", "1", "2", "3", "4"]


async def test_isolation(database: Database, driver: str, ours: Room) -> None:
    """Transactions are READ COMMITTED, whatever the server does by itself, and what only reads sees one moment."""
    if SERVER_OF[driver] == "postgres":
        name = ours.url.database
        statements = [f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"]
        query = "SHOW transaction_isolation"
    else:
        statements, query = [], "SELECT @@session.tx_isolation"
    for statement in statements:
        await database.write(lambda connection, statement=statement: connection.execute(text(statement)))
    try:
        async with Database(by(driver, ours.url), pool_size=2) as strict:
            for run in (strict.read, strict.write):
                for single in (True, False):
                    level = await run(lambda connection: connection.scalar(text(query)), single=single)
                    # MySQL's setting of the session stays, while the next transaction has its own.
                    sees_one_moment = run == strict.read and SERVER_OF[driver] == "postgres"
                    expected = "repeatable read" if sees_one_moment else "read committed"
                    assert str(level).lower().replace("-", " ") == expected
    finally:
        if statements:
            await database.write(
                lambda connection: connection.execute(
                    text(f"ALTER DATABASE {name} RESET default_transaction_isolation")
                )
            )


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "postgresql+asyncpg"], indirect=True)
async def test_idle_limit(database: Database) -> None:
    """PostgreSQL ends our own transactions when this process falls silent in one; sessions may take their time."""
    query = text("SHOW idle_in_transaction_session_timeout")
    assert await database.write(lambda connection: connection.scalar(query)) == "10s"
    async with database.session() as session:
        assert await session.scalar(query) == "0"


async def test_strict(database: Database, eggs: Any, driver: str) -> None:
    """What does not fit is an error, never cut; every character comes back."""
    with pytest.raises(Exception, match=r"(?i)too long"):
        await database.write(eggs.add("x" * 100))
    await database.write(eggs.add("\U0001fabf\u0301"))
    assert await database.read(eggs.names) == ["\U0001fabf\u0301"]


async def test_deadlock(database: Database, eggs: Any) -> None:
    """Two transactions that wait for each other both happen: the one that had to yield is begun again."""
    await database.write(
        lambda connection: connection.execute(insert(EGGS), [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
    )
    runs: list[int] = []
    both = Meeting(2)

    def renamed(first: int, second: int) -> Callable[[Connection], None]:
        def operation(connection: Connection) -> None:
            runs.append(first)
            rename = text("UPDATE eggs SET name = concat(name, CAST(:by AS CHAR(1))) WHERE id = :id")
            connection.execute(rename, {"id": first, "by": str(first)})
            both.meet(connection, times=runs.count(first))
            connection.execute(rename, {"id": second, "by": str(first)})

        return operation

    await asyncio.gather(database.write(renamed(1, 2)), database.write(renamed(2, 1)))
    assert sorted(runs) in ([1, 1, 2], [1, 2, 2])
    names = await database.read(eggs.names)
    assert [sorted(name) for name in names] == [sorted("a12"), sorted("b12")]


class Meeting:
    """Where operations wait for each other once, inside their transactions."""

    def __init__(self, number: int) -> None:
        self._missing = number
        self._all = asyncio.Event()

    def meet(self, connection: Connection, *, times: int) -> None:
        if times > 1:
            return
        from sqlalchemy.util import await_only

        self._missing -= 1
        if not self._missing:
            self._all.set()
        await_only(self._all.wait())


@pytest.mark.parametrize(
    ("driver", "sign"),
    [
        *itertools.product(("postgresql+psycopg", "postgresql+asyncpg"), ("40001", "40P01", "55P03")),
        *itertools.product(("mysql+asyncmy", "mysql+aiomysql"), ("1213", "1205")),
    ],
    indirect=["driver"],
)
async def test_conflict_without_end(
    database: Database, driver: str, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that others stand in the way of every time is given up after five more; a part of a session at once."""
    monkeypatch.setattr("goose_sql.transactions._PAUSE", 0)
    runs = 0

    def operation(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        if SERVER_OF[driver] == "postgres":
            connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '{sign}'; END $$"))
        else:
            connection.execute(text(f"SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = {sign}, MESSAGE_TEXT = 'in the way'"))

    with pytest.raises(DatabaseUnavailable) as failure:
        await database.write(operation)
    assert failure.value.reason == "others stood in its way 6 times. in the way."
    assert runs == 6
    runs = 0
    async with database.session() as session:
        with pytest.raises(Exception, match="in the way"):
            await unit_of(session).run(operation)
    assert runs == 1


@pytest.mark.parametrize("committed", [True, False])
async def test_joining(database: Database, eggs: Any, committed: bool) -> None:
    """What has joined a session or a connection shares its fate, and a failing part harms nothing else."""
    told: list[str] = []
    for name, opened in (("s", database.session()), ("c", database.engine.connect())):
        async with opened as subject:
            unit = unit_of(subject)
            assert unit.is_on(database)
            await subject.execute(insert(EGGS), {"name": f"{name} own"})
            unit.after_commit(lambda name=name: told.append(name))
            with pytest.raises(IntegrityError):
                await unit.run(eggs.add(f"{name} own"))
            await asyncio.gather(*(unit.run(eggs.add(f"{name} {n}")) for n in range(3)))
            assert not unit.holds_write_lock
            assert told == [*("s" for _ in range(committed and name == "c"))]
            await (subject.commit() if committed else subject.rollback())
    assert told == (["s", "c"] if committed else [])
    assert len(await database.read(eggs.names)) == (8 if committed else 0)


async def test_cancelled(database: Database, eggs: Any) -> None:
    """Cancelled writes and sessions leave no connection checked out and no half transaction."""

    def two(number: int) -> Any:
        def operation(connection: Connection) -> None:
            eggs.add(f"{number} a")(connection)
            eggs.add(f"{number} b")(connection)

        return operation

    async def by_session(number: int) -> None:
        async with database.session() as session, session.begin():
            await session.execute(insert(EGGS), {"name": f"{number} a"})
            await open_units()[-1].run(eggs.add(f"{number} b"))

    numbers = itertools.count()
    for tick in range(30):
        works = [database.write(two(next(numbers))), by_session(next(numbers)), database.write(two(next(numbers)))]
        tasks = [asyncio.create_task(work) for work in works]
        await asyncio.sleep(tick / 5_000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await wait_until(lambda: checked_out(database) == 0)
    names = await database.read(eggs.names)
    assert {name[:-2] for name in names if name.endswith("a")} == {name[:-2] for name in names if name.endswith("b")}
    await asyncio.gather(*(database.write(eggs.add(f"after {n}")) for n in range(10)))


async def test_cancelled_in_a_long_statement(database: Database, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that nobody waits for any more is torn off when it does not end by itself, and leaves nothing."""
    monkeypatch.setattr("goose_sql.transactions._GRACE", 0.1)
    sleep = "SELECT pg_sleep(60)" if SERVER_OF[driver] == "postgres" else "SELECT sleep(60)"

    def operation(connection: Connection) -> None:
        connection.execute(insert(EGGS), {"name": "half"})
        connection.execute(text(sleep))

    task = asyncio.create_task(database.write(operation))
    await wait_until(lambda: checked_out(database) == 1)
    task.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait((task,))
    assert task.cancelled()
    await wait_until(lambda: checked_out(database) == 0)
    assert await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM eggs"))) == 0


async def test_unavailable(driver: str, ours: Room) -> None:
    """A server that is not there, or has no such database, is one sentence without the password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(DatabaseUnavailable) as refusal:
            await Database(f"{driver}://u:s3cret@127.0.0.1:{port}/d").open()
    assert str(refusal.value).startswith(f"The database {driver}://u:***@127.0.0.1:{port}/d is not available: ")
    assert "\n" not in str(refusal.value)
    with pytest.raises(DatabaseUnavailable, match=r"(?i)database \W?nowhere\W?"):
        await Database(by(driver, ours.url).set(database="nowhere")).open()


@pytest.mark.parametrize("make", [Database, SqlModule])
def test_small_pool(driver: str, make: Callable[..., Any]) -> None:
    """A pool of one is refused before anything is opened."""
    with pytest.raises(SmallPool) as refusal:
        make(f"{driver}://u:s3cret@h/d", pool_size=1)
    assert isinstance(refusal.value, ConfigError)
    assert str(refusal.value) == (
        f"{driver}://u:***@h/d: pool_size=1 is not allowed; a server needs at least 2, "
        "as a session that is open must leave room for what its code writes meanwhile."
    )


async def test_budget(database: Database, driver: str) -> None:
    """The pool holds as many connections as it says, under whatever load."""
    made: list[int] = []
    event.listen(database.engine.sync_engine, "connect", lambda *_: made.append(1))
    await database.engine.dispose()
    nap = "SELECT pg_sleep(0.02)" if SERVER_OF[driver] == "postgres" else "SELECT sleep(0.02)"
    await asyncio.gather(*(database.read(lambda connection: connection.execute(text(nap))) for _ in range(20)))
    assert len(made) == 3


async def test_too_old(database: Database, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is too old is told with both versions."""
    kind = "postgresql" if SERVER_OF[driver] == "postgres" else "mariadb"
    monkeypatch.setitem(__import__("goose_sql.on_server", fromlist=["_OLDEST"])._OLDEST, kind, (99, 1))
    with pytest.raises(UnsupportedDatabase, match=r"found [\d.]+, need 99.1 or newer\.$"):
        await Database(database._address.url).open()


@pytest.mark.parametrize("driver", CHOSEN.values(), indirect=True)
async def test_migrations(database: Database, driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are written for the server's dialect and migrated once by however many processes."""
    package = f"shop_on_{SERVER_OF[driver]}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    metadata = MetaData()
    Table("orders", metadata, Column("id", Integer, primary_key=True), Column("item", String(9)))
    tables = (Tables("OrdersModule", metadata, f"{package}.migrations"),)
    assert await revise(database, tables[0], "Orders begin") is not None
    assert await pending(database, tables) == ("OrdersModule",)
    done = await asyncio.gather(*(migrate(database, tables) for _ in range(3)))
    assert sorted(done) == [(), (), ("OrdersModule",)]
    await check(database, tables)
    assert await revise(database, tables[0], "nothing") is None
