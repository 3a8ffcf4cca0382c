"""Telling other processes: many at a time, after the commit, and what is said can be understood."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import cast

import pytest

from goose_queues.clock import Clock
from goose_queues.stores.sql.announcer import Announcer
from goose_queues.stores.sql.channel import channel_name, understood, written
from goose_queues.stores.sql.statement import Layout
from goose_queues.stores.sql.store import SqlStore
from goose_queues.stores.sql.tables import queue_tables
from goose_sql import Database
from goose_sql.errors import DatabaseUnavailable
from servers.shared import room
from store_contract.making import claim, new_job
from waiting import wait_until


class Sent(Announcer):
    """Keeps what would be sent; fails as often as there are errors."""

    def __init__(self, *errors: Exception) -> None:
        self.sent: list[frozenset[str]] = []
        self.errors = list(errors)
        self.rested = asyncio.Event()
        self.rested.set()
        super().__init__(cast("Database", None), self._name, "me")

    @staticmethod
    async def _name() -> str:
        return "goose_channel"

    async def _rest(self) -> None:
        await self.rested.wait()

    async def send(self, channel: str, payload: str) -> None:
        assert channel == "goose_channel"
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        sender, queues = understood(payload)
        assert sender == "me"
        self.sent.append(queues)


async def test_what_comes_up_meanwhile_goes_with_the_next() -> None:
    announcer = Sent()
    announcer.rested.clear()
    announcer.tell(frozenset({"first"}))
    await wait_until(lambda: len(announcer.sent) == 1)
    for number in range(100):
        announcer.tell(frozenset({f"queue-{number % 10}"}))
        await asyncio.sleep(0)
    announcer.rested.set()
    await announcer.close()
    assert announcer.sent == [{"first"}, {f"queue-{number}" for number in range(10)}]


async def test_any_thread_may_tell() -> None:
    announcer = Sent()
    thread = threading.Thread(target=announcer.tell, args=[frozenset({"q"})])
    thread.start()
    await wait_until(lambda: announcer.sent == [{"q"}])
    thread.join()


async def test_closing_sends_what_has_not_been_sent() -> None:
    announcer = Sent()
    announcer.tell(frozenset({"q"}))
    await announcer.close()
    assert announcer.sent == [{"q"}]


async def test_a_broken_connection_is_tried_once_more(caplog: pytest.LogCaptureFixture) -> None:
    announcer = Sent(DatabaseUnavailable("it", "gone."))
    announcer.tell(frozenset({"q"}))
    await announcer.close()
    assert (announcer.sent, caplog.records) == ([{"q"}], [])


async def test_what_cannot_be_told_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    announcer = Sent(*(DatabaseUnavailable("it", "gone.") for _ in range(4)))
    for queue, left in (("one", 2), ("two", 0)):
        announcer.tell(frozenset({queue}))
        await wait_until(lambda left=left: len(announcer.errors) == left)
    announcer.tell(frozenset({"three"}))
    await announcer.close()
    assert announcer.sent == [{"three"}]
    assert [record.getMessage() for record in caplog.records] == [
        "Other processes could not be told of new jobs; those that look find them: The database it is not available: gone."
    ]


def test_a_loop_that_is_closed_harms_nobody() -> None:
    async def make() -> Announcer:
        return Sent()

    asyncio.run(make()).tell(frozenset({"q"}))


async def test_a_dispatch_by_a_process_that_ends_at_once_is_told() -> None:
    url = room("postgres").url
    here, there = (SqlStore(Database(url), Clock(), owns_database=True, auto_migrate=True) for _ in range(2))
    await here.open()
    heard: set[str] = set()
    await claim(here, queue="emails")
    here.subscribe(heard.update)
    await there.open()
    await there.insert([new_job(queue="emails")])
    await there.close()
    await wait_until(lambda: "emails" in heard)
    await here.close()


class TestPayload:
    def test_every_queue_is_said_within_the_limit_of_the_server(self) -> None:
        queues = frozenset(f"{'q' * 60}{number:04}" for number in range(300))
        payloads = list(written("s" * 32, queues))
        assert len(payloads) == 3
        assert max(map(len, payloads)) < 8000
        assert frozenset().union(*(understood(payload)[1] for payload in payloads)) == queues
        assert {understood(payload)[0] for payload in payloads} == {"s" * 32}

    def test_no_queues_are_no_payload(self) -> None:
        assert list(written("me", frozenset())) == []

    @pytest.mark.parametrize("name", ["two words", "", "q\n", "'; drop", "q" * 65])
    def test_what_a_hand_has_written_is_left_out(self, name: str) -> None:
        assert list(written("me", frozenset({name, "fine"}))) == ["me fine"]
        assert understood(f"me {name} fine")[1] <= {"fine", "two", "words", "drop"}

    @pytest.mark.parametrize("payload", ["", " ", "me", "\0", "🪿 🪿", "me  "])
    def test_anybody_may_have_sent_anything(self, payload: str) -> None:
        assert understood(payload)[1] == frozenset()


async def test_the_channel_belongs_to_the_tables_and_is_an_identifier() -> None:
    database = Database(room("postgres").url)
    async with database:
        store = SqlStore(database, Clock(), owns_database=False, auto_migrate=True)
        await store.open()

        async def name(*where: str | None) -> str:
            layout = Layout(queue_tables(*where, dialect="postgresql"), database.engine.dialect)
            return await database.read(lambda connection: channel_name(connection, layout))

        await store.close()
        names = [await name("goose_", None), await name("goose_", "public"), await name("other_", None)]
    assert names[0] == names[1] != names[2]
    assert all(name.isascii() and name.isidentifier() and name.islower() and len(name) < 63 for name in names)
