"""Tests of Database.write on SQLite: whole transactions, in groups, each with a fate of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from goose_sql import Database, DatabaseBusy, DatabaseClosed, DatabaseUnavailable
from goose_sql.errors import NotYourTransaction
from waiting import wait_until


class Pause:
    """Holds an operation until the test lets it go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()

    def __call__(self, _: Connection) -> None:
        self.reached.set()
        if not self.go.wait(30):
            raise TimeoutError("the test forgot the pause")


async def held(database: Database) -> tuple[Pause, asyncio.Future[None]]:
    """The writer's thread, busy with a paused operation."""
    pause = Pause()
    busy = asyncio.ensure_future(database.write(pause))
    await wait_until(pause.reached.is_set)
    return pause, busy


async def test_durable_on_return(database: Database, eggs: Any, path: Path) -> None:
    """What was awaited is there for another connection, and the operation's value comes back."""
    assert await database.write(eggs.add("a")) == "a"
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM eggs").fetchall() == [("a",)]
    other.close()


async def test_an_operation_is_one_transaction(database: Database, eggs: Any) -> None:
    """What an operation did before it raised is undone, and its own error comes back unchanged."""

    def twice(connection: Connection) -> None:
        eggs.add("a")(connection)
        eggs.add("a")(connection)

    with pytest.raises(IntegrityError, match="UNIQUE"):
        await database.write(twice)
    assert await database.read(eggs.count) == 0


async def test_group(database: Database, eggs: Any) -> None:
    """Operations that wait together are one transaction, in which a failing one is undone alone."""
    pause, busy = await held(database)
    before = [asyncio.ensure_future(database.write(eggs.add(name))) for name in ("a", "b")]

    def bad(connection: Connection) -> None:
        eggs.add("bad")(connection)
        raise LookupError("mine")

    failing = asyncio.ensure_future(database.write(bad))
    seen: list[int] = []
    after = asyncio.ensure_future(database.write(lambda connection: seen.append(eggs.count(connection))))
    await wait_until(lambda: database._open._writer._line.qsize() == 4)
    pause.go.set()
    await asyncio.gather(busy, *before, after)
    with pytest.raises(LookupError, match="mine"):
        await failing
    assert seen == [2]
    assert await database.read(eggs.names) == ["a", "b"]


async def test_one_commit_for_a_group(database: Database, eggs: Any) -> None:
    """Fifty operations that wait together cost one commit."""
    pause, busy = await held(database)
    statements: list[str] = []
    writes = [asyncio.ensure_future(database.write(eggs.add(str(n)))) for n in range(50)]

    def trace(connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        raw.set_trace_callback(lambda sql: statements.append(sql.partition(" ")[0]))

    tracing = asyncio.ensure_future(database.write(trace, urgent=True))
    await wait_until(lambda: database._open._writer._line.qsize() == 51)
    pause.go.set()
    await asyncio.gather(busy, tracing, *writes)
    assert await database.read(eggs.count) == 50
    assert statements.count("COMMIT") == 1
    assert statements.count("INSERT") == 50


async def test_urgent_goes_first(database: Database) -> None:
    """An urgent operation overtakes those that wait, and keeps the order among its like."""
    pause, busy = await held(database)
    order: list[str] = []
    names = ("one", "two", "urgent one", "urgent two")
    writes = [
        asyncio.ensure_future(database.write(lambda _, name=name: order.append(name), urgent=name.startswith("urgent")))
        for name in names
    ]
    await wait_until(lambda: database._open._writer._line.qsize() == 4)
    pause.go.set()
    await asyncio.gather(busy, *writes)
    assert order == ["urgent one", "urgent two", "one", "two"]


async def test_cancelled_while_it_waits(database: Database, eggs: Any) -> None:
    """An operation whose caller was cancelled before it began does not happen; the others do."""
    pause, busy = await held(database)
    gone = asyncio.ensure_future(database.write(eggs.add("gone")))
    kept = asyncio.ensure_future(database.write(eggs.add("kept")))
    await wait_until(lambda: database._open._writer._line.qsize() == 2)
    gone.cancel()
    pause.go.set()
    await asyncio.gather(busy, kept)
    assert gone.cancelled()
    assert await database.read(eggs.names) == ["kept"]


async def test_cancelled_while_it_runs(database: Database, eggs: Any) -> None:
    """An operation whose caller is cancelled in the middle of it happens wholly."""
    pause = Pause()

    def slow(connection: Connection) -> None:
        eggs.add("a")(connection)
        pause(connection)
        eggs.add("b")(connection)

    running = asyncio.ensure_future(database.write(slow))
    await wait_until(pause.reached.is_set)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    pause.go.set()
    await database.write(lambda _: None)
    assert await database.read(eggs.names) == ["a", "b"]


async def test_raw_and_core_share_the_transaction(database: Database, eggs: Any) -> None:
    """The driver's own connection stands in the operation's transaction."""

    def mixed(connection: Connection) -> int:
        eggs.add("core")(connection)
        raw = connection.connection.driver_connection
        if not isinstance(raw, sqlite3.Connection):
            raise TypeError(type(raw))
        raw.execute("INSERT INTO eggs (name) VALUES ('raw')")
        return eggs.count(connection)

    assert await database.write(mixed) == 2


async def test_an_operation_cannot_commit(database: Database, eggs: Any) -> None:
    """An operation that commits by itself is refused, and the next one finds everything in order."""

    def commits_itself(connection: Connection) -> None:
        eggs.add("a")(connection)
        connection.commit()

    with pytest.raises(NotYourTransaction) as refusal:
        await database.write(commits_itself)
    assert str(refusal.value) == (
        "This transaction belongs to the caller: return to have it committed, raise to have it rolled back."
    )
    assert await database.write(eggs.count) == 0


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
async def test_an_operation_that_ends_the_transaction(database: Database, ending: str) -> None:
    """An operation that ends the transaction behind our back is an error of that group, and no other."""
    with pytest.raises(RuntimeError, match="an operation ended the transaction that it was run in"):
        await database.write(lambda connection: connection.connection.driver_connection.execute(ending))  # type: ignore[union-attr]
    await database.write(lambda _: None)


async def test_operations_may_close_and_nest(database: Database, eggs: Any) -> None:
    """Closing the connection, leaving a savepoint open, and an ORM session on it do not reach the next operation."""

    def nested(connection: Connection) -> None:
        eggs.add("kept")(connection)
        with pytest.raises(LookupError), connection.begin_nested():
            eggs.add("undone")(connection)
            raise LookupError
        _ = connection.begin_nested()
        eggs.add("also kept")(connection)

    def with_session(connection: Connection) -> None:
        with Session(connection) as session:
            session.execute(insert(eggs.table), {"name": "by session"})
            session.commit()

    await database.write(nested)
    await database.write(lambda connection: connection.close())
    await database.write(with_session)
    assert await database.read(eggs.names) == ["also kept", "by session", "kept"]


async def test_stop_iteration(database: Database) -> None:
    """An operation that raises StopIteration fails like any other, though no future takes that error."""

    def exhausted(_: Connection) -> None:
        next(iter(()))

    with pytest.raises(RuntimeError, match=r"the operation raised StopIteration\(\)"):
        await database.write(exhausted)


async def test_another_process_holds_the_lock(database: Database, eggs: Any, path: Path) -> None:
    """While somebody else writes, writers wait for them and readers do not."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(database.write(eggs.add("a")))
    assert [await database.read(eggs.count) for _ in range(5)] == [0] * 5
    async with database.session() as session:
        assert (await session.execute(text("SELECT count(*) FROM eggs"))).scalar() == 0
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    await waiting
    assert await database.read(eggs.count) == 1


async def test_busy(path: Path, eggs: Any) -> None:
    """A lock that nobody lets go of ends in one sentence, for the writer and for a session, and stores nothing."""
    async with Database(f"sqlite:///{path}", busy_timeout=0.05) as database:
        await database.write(eggs.metadata.create_all)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        sentence = (
            f"The database sqlite:///{path} is not available: its write lock was not free within 0.05 s. "
            "Somebody keeps a transaction open: commit sooner, and write through one session per task."
        )
        with pytest.raises(DatabaseBusy) as busy:
            await database.write(eggs.add("a"))
        assert str(busy.value) == sentence
        async with database.session() as session:
            with pytest.raises(DatabaseBusy) as again:
                await session.execute(insert(eggs.table), {"name": "b"})
        assert str(again.value) == sentence
        other.execute("ROLLBACK")
        other.close()
        await database.write(eggs.add("c"))
        assert await database.read(eggs.names) == ["c"]


@pytest.mark.parametrize("way", ["writer", "session"])
async def test_asks_often(database: Database, eggs: Any, path: Path, way: str) -> None:
    """While another process has the lock it is asked for many times a second: a gap of milliseconds is enough."""
    asked: list[str] = []

    def watch(connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        getattr(raw, "_conn", raw).set_trace_callback(asked.append)

    async def write() -> None:
        if way == "writer":
            await database.write(eggs.add("a"))
            return
        async with database.session() as session, session.begin():
            await (await session.connection()).run_sync(watch)
            await session.execute(insert(eggs.table), {"name": "a"})

    await database.write(watch)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(write())
    await wait_until(lambda: asked.count("BEGIN IMMEDIATE") >= 25, deadline=10)
    other.execute("ROLLBACK")
    other.close()
    await waiting
    assert await database.read(eggs.names) == ["a"]


async def test_two_sessions_of_one_task(path: Path, eggs: Any) -> None:
    """A task that waits for its own lock is told so instead of waiting for ever."""
    async with Database(f"sqlite:///{path}", busy_timeout=0.05) as database:
        await database.write(eggs.metadata.create_all)
        async with database.session() as one:
            await one.execute(insert(eggs.table), {"name": "a"})
            with pytest.raises(DatabaseBusy, match="write through one session per task"):
                await database.write(eggs.add("b"))
            await one.commit()
        await database.write(eggs.add("b"))
        assert await database.read(eggs.names) == ["a", "b"]


async def test_from_threads(database: Database, eggs: Any) -> None:
    """Threads write with write_blocking, and wait no longer than they said."""

    def write(number: int) -> str:
        return database.write_blocking(eggs.add(str(number)))

    assert await asyncio.gather(*(asyncio.to_thread(write, number) for number in range(20))) == [
        str(number) for number in range(20)
    ]
    pause, busy = await held(database)
    with pytest.raises(DatabaseBusy):
        await asyncio.to_thread(lambda: database.write_blocking(eggs.add("late"), timeout=0.01))
    pause.go.set()
    await busy
    assert await database.write(eggs.count) == 20


async def test_blocking_in_the_loop(database: Database) -> None:
    """write_blocking refuses to block an event loop."""
    with pytest.raises(RuntimeError) as refusal:
        database.write_blocking(lambda _: None)
    assert str(refusal.value) == "write_blocking() would block the event loop here: await write() instead."


async def test_close(path: Path, eggs: Any) -> None:
    """What is queued is written before the database closes; what comes after is refused; it can be opened again."""
    database = Database(f"sqlite:///{path}")
    await database.open()
    await database.open()
    await database.write(eggs.metadata.create_all)
    pause, busy = await held(database)
    queued = [asyncio.ensure_future(database.write(eggs.add(str(n)))) for n in range(10)]
    await wait_until(lambda: database._open._writer._line.qsize() == 10)
    threads = threading.active_count()
    closing = asyncio.ensure_future(database.close())
    await wait_until(lambda: not database.is_open)
    with pytest.raises(DatabaseClosed) as refusal:
        await database.write(eggs.add("late"))
    assert str(refusal.value) == (
        f"The database sqlite:///{path} is not open: it was closed, or open() was not awaited yet."
    )
    pause.go.set()
    await asyncio.gather(busy, closing, *queued)
    await database.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("goose-sql")], threads
    async with database:
        assert await database.read(eggs.count) == 10


async def test_race_with_close(path: Path, eggs: Any) -> None:
    """Whatever is written while the database closes is either stored or told that it was not."""
    for _ in range(10):
        database = Database(f"sqlite:///{path}")
        await database.open()
        await database.write(eggs.metadata.create_all)
        stored = await database.read(eggs.count)
        backend = database._open
        outcomes: list[str] = []

        def write(backend: Any = backend, outcomes: list[str] = outcomes) -> None:
            for _ in range(20):
                try:
                    backend.write_blocking(
                        lambda connection: connection.execute(insert(eggs.table), {"name": None}),
                        urgent=False,
                        timeout=None,
                    )
                except DatabaseClosed:
                    return
                outcomes.append("stored")

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        await wait_until(lambda outcomes=outcomes: len(outcomes) > 3)
        await database.close()
        for thread in threads:
            thread.join()
        async with database:
            assert await database.read(eggs.count) == stored + len(outcomes)


async def test_private_file() -> None:
    """sqlite:// is a file of this database alone, gone when it closes; the next opening has a fresh one."""
    database, other = Database("sqlite://"), Database("sqlite://")
    async with database, other:
        folder = Path(str(database.engine.url.database)).parent
        assert folder.is_dir()
        await database.write(lambda connection: connection.execute(text("CREATE TABLE a (x)")))
        with pytest.raises(Exception, match="no such table"):
            await other.write(lambda connection: connection.execute(text("INSERT INTO a VALUES (1)")))
        assert database.same_place(database.engine.url)
        assert not database.same_place("sqlite://")
        assert database.url == "sqlite://"
    assert not folder.exists()
    async with database:
        await database.write(lambda connection: connection.execute(text("CREATE TABLE a (x)")))


async def test_cannot_open(tmp_path: Path) -> None:
    """A file that cannot be opened, or is no database, is one sentence that says what to look at."""
    missing = Database(f"sqlite:///{tmp_path}/none/a.db")
    with pytest.raises(DatabaseUnavailable) as refusal:
        await missing.open()
    assert str(refusal.value) == (
        f"The database sqlite:///{tmp_path}/none/a.db is not available: unable to open database file. "
        "Does its folder exist, and may this process write there?"
    )
    assert not missing.is_open
    (tmp_path / "text.db").write_text("this is not a database, however long one looks at it" * 100)
    with pytest.raises(DatabaseUnavailable) as other:
        await Database(f"sqlite:///{tmp_path}/text.db").open()
    assert str(other.value) == (
        f"The database sqlite:///{tmp_path}/text.db is not available: file is not a database. Is this the right file?"
    )


async def test_disk_that_fails(database: Database, eggs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit and a rollback that fail are the callers' error; the writer goes on when the disk is well again."""
    pause, busy = await held(database)
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR
    with monkeypatch.context() as broken:

        def roll_back(_: sqlite3.Connection) -> None:
            raise failed

        broken.setattr("goose_sql.writer._roll_back", roll_back)
        pause.go.set()
        with pytest.raises(DatabaseUnavailable) as refusal:
            await busy
    assert str(refusal.value) == (
        f"The database {database.url} is not available: disk I/O error. Is the disk full, broken or gone?"
    )
    await database.write(eggs.add("a"))
    assert await database.read(eggs.names) == ["a"]


async def test_cancelled_while_it_opens(path: Path) -> None:
    """An opening that is cancelled leaves no thread and no file of a private database behind."""
    for url in (f"sqlite:///{path}", "sqlite://"):
        database = Database(url)
        for _ in range(10):
            task = asyncio.create_task(database.open())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not database.is_open
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("goose-sql")]


async def test_read_only(database: Database, eggs: Any) -> None:
    """A write that the file does not allow makes the database unavailable, not the statement wrong."""

    def write(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only=ON")
        try:
            eggs.add("a")(connection)
        finally:
            connection.exec_driver_sql("PRAGMA query_only=OFF")

    with pytest.raises(DatabaseUnavailable) as refusal:
        await database.write(write)
    assert str(refusal.value) == (
        f"The database {database.url} is not available: attempt to write a readonly database. "
        "May this process write to the file and to its folder?"
    )


async def test_settings(database: Database) -> None:
    """The writer works in WAL mode with a sync for each commit, and keeps foreign keys."""

    def pragmas(connection: Connection) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await database.write(pragmas) == ["wal", 2, 1, 20000]
    async with database.session() as session:
        connection = await session.connection()
        assert await connection.run_sync(pragmas) == ["wal", 2, 1, 20000]


async def test_two_loops(database: Database, eggs: Any) -> None:
    """Another event loop in another thread may write to the same database."""
    await asyncio.to_thread(lambda: asyncio.run(database.write(eggs.add("there"))))
    await database.write(eggs.add("here"))
    assert await database.read(eggs.names) == ["here", "there"]
