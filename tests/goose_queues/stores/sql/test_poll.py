"""The poll: quick while there is news, rare when it is quiet, and loud about nothing that nobody here can change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from goose_queues.clock import Clock
from goose_queues.errors import StoreUnavailable
from goose_queues.stores.sql import poll as poll_file
from goose_queues.stores.sql.fronts import Front, Fronts, fronts, news
from goose_queues.stores.sql.poll import QUICK, Poll
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from goose_sql.errors import DatabaseClosed, DatabaseUnavailable
from servers.private import PrivateMariaDB
from servers.shared import DATABASES, room
from store_contract.making import claim, new_job
from waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateMariaDB]:
    """One that may be killed."""
    with PrivateMariaDB() as server:
        yield server


async def opened(url: Any) -> SqlStore:
    store = SqlStore(Database(url), Clock(), owns_database=True, auto_migrate=True)
    await store.open()
    return store


@pytest.fixture
async def pair(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """Two processes that poll, on either kind of server."""
    there = room(request.param)
    there.empty()
    monkeypatch.setattr("goose_queues.stores.sql.wakeup.Listener.run", lambda _: asyncio.sleep(0))
    one, other = await opened(there.url), await opened(there.url)
    yield one, other
    await one.close()
    await other.close()


@pytest.mark.parametrize("pair", DATABASES, indirect=True)
async def test_what_nobody_here_claims_wakes_nobody_twice(pair: tuple[SqlStore, SqlStore]) -> None:
    here, there = pair
    told: list[frozenset[str]] = []
    for queue in ("unknown", "known", "asleep"):
        await claim(here, queue=queue)
    here.subscribe(told.append)
    await there.pause("asleep")
    await there.insert([new_job(queue="unknown"), new_job(queue="asleep")])
    await wait_until(lambda: {"unknown"} in told)
    await there.insert([new_job(queue="known")])
    await wait_until(lambda: {"known"} in told)
    await there.resume("asleep")
    await wait_until(lambda: {"asleep"} in told)
    assert told == [{"unknown"}, {"known"}, {"asleep"}]


@pytest.mark.parametrize("pair", DATABASES, indirect=True)
async def test_a_job_that_came_when_the_last_was_taken_is_news(pair: tuple[SqlStore, SqlStore]) -> None:
    here, there = pair
    told: list[frozenset[str]] = []
    await claim(here)
    here.subscribe(told.append)
    await there.insert([new_job()])
    await wait_until(lambda: len(told) == 1)
    await claim(there)
    await there.insert([new_job()])
    await wait_until(lambda: len(told) == 2)


async def test_a_look_reads_a_few_entries_of_an_index_however_many_jobs_there_are() -> None:
    there = room("mysql")
    there.empty()
    database = Database(there.url)
    async with database:
        store = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await store.open()
        for queue in ("one", "two"):
            await store.insert([new_job(queue=queue) for _ in range(500)])
            await store.insert([new_job(queue=queue, delay=60.0) for _ in range(500)])

        def entries(connection: Connection) -> int:
            rows = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
            return sum(int(number) for _, number in rows)

        def look(connection: Connection) -> tuple[Fronts, int]:
            # What is read to show the status is counted as well, each time the same.
            empty = entries(connection)
            shown = entries(connection) - empty
            before = entries(connection)
            found = fronts(connection, store._layout, ["one", "two", "three"])
            return found, entries(connection) - before - shown

        found, read = await database.read(look)
        await store.close()
    assert [front.is_open for front in found.values()] == [True, True, False]
    assert read < 50


async def test_a_restart_of_the_server_is_survived(
    server: PrivateMariaDB, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(poll_file, "AGAIN", 0.01)
    here, there = await opened(server.url), await opened(server.url)
    heard: set[str] = set()
    for queue in ("one", "two"):
        await claim(here, queue=queue)
    here.subscribe(heard.update)
    await there.insert([new_job(queue="one")])
    await wait_until(lambda: "one" in heard)
    await asyncio.to_thread(server.restart, immediate=True)

    async def inserted() -> bool:
        with suppress(StoreUnavailable):
            await there.insert([new_job(queue="two")])
            return True
        return False

    await wait_until(inserted)
    await wait_until(lambda: "two" in heard)
    assert [record for record in caplog.records if record.name == "goose_queues.wakeup"] == []
    await here.close()
    await there.close()


NOTHING, PAUSED = Front(None, None, False), Front("a", 5, True)


@pytest.mark.parametrize(
    ("before", "after", "is_news"),
    [
        (None, NOTHING, False),
        (None, Front("a", None, False), True),
        (Front("a", None, False), Front("a", None, False), False),
        (Front("a", None, False), Front("b", None, False), True),
        (Front("a", None, False), NOTHING, False),
        (NOTHING, Front(None, 5, False), True),
        (Front(None, 5, False), Front(None, 4, False), True),
        (Front("a", 5, False), PAUSED, False),
        (PAUSED, Front("a", 5, False), True),
    ],
)
def test_news(before: Front | None, after: Front, is_news: bool) -> None:
    assert news({} if before is None else {"q": before}, {"q": after}) == ({"q"} if is_news else set())


class Answers:
    """A database that gives these answers, one to each look, then the last again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.looks = 0

    async def read(self, _: object, *, single: bool) -> Any:
        self.looks += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class TestPause:
    @pytest.fixture
    def time(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr(poll_file.time, "monotonic", lambda: now[0])
        return now

    def test_it_grows_with_the_quiet_up_to_a_fifth_of_the_interval(self, time: list[float]) -> None:
        poll = Poll(cast("Database", None), cast("Any", None), lambda _: None, 5.0)
        assert poll._pause() == QUICK
        time[0] += 3
        assert poll._pause() == pytest.approx(0.3)
        time[0] += 100
        assert poll._pause() == 1.0

    async def test_it_is_short_again_after_news_from_anywhere(self, time: list[float]) -> None:
        database = Answers({"q": Front("a", None, False)})
        poll = Poll(cast("Database", database), cast("Any", None), lambda _: None, 5.0)
        time[0] += 100
        poll.hurry()
        assert poll._pause() == QUICK
        time[0] += 100
        await poll.look()
        assert poll._pause() == QUICK
        time[0] += 100
        await poll.look()
        assert poll._pause() == 1.0

    def test_a_tiny_interval_is_no_tighter_loop(self, time: list[float]) -> None:
        poll = Poll(cast("Database", None), cast("Any", None), lambda _: None, 0.05)
        time[0] += 100
        assert poll._pause() == QUICK


class TestRun:
    async def test_it_rests_while_it_is_not_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(poll_file, "QUICK", 0.0)
        asked: list[bool] = []

        def is_needed() -> bool:
            asked.append(len(asked) >= 5)
            return asked[-1]

        database = Answers(DatabaseClosed("it"))
        poll = Poll(cast("Database", database), cast("Any", None), lambda _: None, 5.0)
        await poll.run(is_needed)
        assert (database.looks, len(asked)) == (1, 6)

    async def test_a_fault_is_told_unless_the_claims_tell_it(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(poll_file, "AGAIN", 0.0)
        told: list[frozenset[str]] = []
        database = Answers(
            DatabaseUnavailable("it", "gone."), ValueError("odd"), {"q": Front("a", None, False)}, DatabaseClosed("it")
        )
        with caplog.at_level(logging.INFO):
            await Poll(cast("Database", database), cast("Any", None), told.append, 5.0).run(lambda: True)
        assert told == [{"q"}]
        assert [record.getMessage() for record in caplog.records] == ["Looking for new jobs failed; it is tried again"]
