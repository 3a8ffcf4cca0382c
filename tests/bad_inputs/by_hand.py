"""Rows 8 and 62: jobs in the store that no code of today has put there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pymysql
import pytest

from bad_inputs.case import ON_DATABASES, Bench, Case, accepted
from bad_inputs.jobs import Good, Renamed, SendEmail
from waiting import wait_until


@asynccontextmanager
async def held_up(bench: Bench, queue: str) -> AsyncIterator[None]:
    """Within the block no worker takes anything from a queue."""
    await bench.queue.pause(queue)
    yield
    await bench.queue.resume(queue)


async def renamed(bench: Bench) -> None:
    """A job whose class is gone stays pending, and says what it waits for and what helps."""
    async with held_up(bench, "emails"):
        handle = await bench.queue.dispatch(SendEmail(to="a"))
        bench.hand.rename(handle.id, "SendMail")
    good = await bench.queue.dispatch(SendEmail(to="b"))
    assert await good.result(timeout=30) == "b"
    status = await bench.queue.get_status(handle.id)
    assert (status.status, status.attempts) == ("pending", 0)
    assert status.note == (
        "no worker for SendMail: no registered job has this name; a class that was renamed takes it as aliases="
    )


async def with_an_alias(bench: Bench) -> None:
    async with held_up(bench, "default"):
        handle = await bench.queue.dispatch(Renamed())
        bench.hand.rename(handle.id, "OldName")
    assert await handle.result(timeout=30) == "OldName"


def edited(what: str, column: str, value: Any, *facts: str, typed: bool = False) -> Case:
    """A row with this in this column fails by itself; the job behind it runs. Servers refuse what is of another type."""

    async def show(bench: Bench) -> None:
        bad = await bench.queue.dispatch(SendEmail(to="bad")).on_queue("shelf")
        good = await bench.queue.dispatch(SendEmail(to="good"))
        edit = (f"update goose_jobs set {column} = %s, queue = 'emails' where id = %s", value, bad.id)
        if bench.is_server and isinstance(value, bytes):
            return  # Their columns of text make some of it, or refuse it.
        if bench.is_server and typed:
            with pytest.raises(
                (psycopg.DataError, pymysql.DataError, pymysql.ProgrammingError, pymysql.OperationalError)
            ):
                bench.sql(*edit)
            return
        bench.sql(*edit)
        bench.supervisor.wake(frozenset({"emails"}))
        assert await good.result(timeout=30) == "good"

        async def failed() -> bool:
            return (await bench.queue.get_status(bad.id)).status == "failed"

        await wait_until(failed)
        status = await bench.queue.get_status(bad.id)
        assert [fact for fact in ("corrupt row: ", *facts) if fact not in str(status.error)] == [], status.error
        assert (await bench.kernel.check())["Supervisor.on_run"] is None

    return accepted(62, what, show, stores=2, places=ON_DATABASES)


async def no_null(bench: Bench) -> None:
    """The table itself takes no NULL where there has to be something."""
    handle = await bench.queue.dispatch(SendEmail(to="a"))
    for column in ("due_at", "id", "queue", "state", "name", "payload"):
        wanted = f"NOT NULL constraint failed: goose_jobs.{column}|null value in column \"{column}\"|Column '{column}'"
        with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError, pymysql.IntegrityError), match=wanted):
            bench.sql(f"update goose_jobs set {column} = null where id = %s", handle.id)
    assert await handle.result(timeout=30) == "a"


async def no_result(bench: Bench) -> None:
    """A result that is no JSON is left out, with a note; nobody who asks for the job fails."""
    handle = await bench.queue.dispatch(Good())
    await bench.ended(handle.id)
    bench.sql("update goose_jobs set result = '{' where id = %s", handle.id)
    status = await bench.queue.get_status(handle.id)
    assert (status.status, status.result, status.note) == ("completed", None, "corrupt row: result is '{'")


CASES = [
    accepted(8, "renamed-class", renamed, stores=2),
    accepted(8, "alias", with_an_alias),
    edited("invalid-json", "payload", "{to", "payload of SendEmail: Invalid JSON"),
    edited("bytes", "payload", b"\xff", r"payload is b'\xff'"),
    edited("unknown-state", "state", "zombie", "state is 'zombie'"),
    edited("no-due-time", "due_at", "soon", "due_at is 'soon'", typed=True),
    edited("no-number", "max_retries", "many", "max_retries is 'many'", typed=True),
    edited("endless-number", "attempts", float("inf"), "attempts is inf", typed=True),
    edited("no-meta", "meta", json.dumps({}).encode(), "meta is b'{}'"),
    accepted(62, "null-due-time", no_null, places=ON_DATABASES),
    accepted(62, "no-result", no_result, places=ON_DATABASES),
]
