"""No text of others starts a line of its own in a log, or drives the terminal that shows it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from goose_queues import Client, Clock, Job, JobContext
from goose_queues.redact import _CONTROL
from goose_queues.supervisor import Supervisor
from queue_apps import Boot
from waiting import wait_until

ATTACK = "ok\r\n2027-01-01 ERROR root forged\x1b[31m\x1b]0;owned\x07\x85\x9b1m\u2028\u202e\x00\ud800 end"
IN_STORE = ATTACK.replace("\x00", "").replace("\ud800", "")
"""What SQLite takes as text."""

OWN = frozenset(vars(logging.makeLogRecord({})))


class Fails(Job, max_retries=1, retry_delay=0.1):
    async def handle(self, ctx: JobContext) -> None:
        raise type(IN_STORE, (Exception,), {})(ATTACK)

    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        raise ValueError(ATTACK)


class Threaded(Job, max_retries=0):
    def handle(self, ctx: JobContext) -> None:
        raise ValueError(ATTACK)


class Withdrawn(Job):
    async def handle(self, ctx: JobContext) -> None:
        raise ctx.cancel(ATTACK)


class Returns(Job):
    async def handle(self, ctx: JobContext) -> Any:
        return {"a": {IN_STORE: b""}}


class Decides(Job, max_retries=1):
    async def handle(self, ctx: JobContext) -> None:
        raise ValueError("x")

    def retry_after(self, attempt: int, error: Exception) -> Any:
        return ATTACK


class Typed(Job, max_retries=0):
    numbers: dict[str, int] = {}

    async def handle(self, ctx: JobContext) -> None: ...


class Waits(Job, queue="waits"):
    async def handle(self, ctx: JobContext) -> None:
        await asyncio.Event().wait()


def unsafe(record: logging.LogRecord) -> list[str]:
    """What of a record would start a line or drive a terminal."""
    extras = {name: value for name, value in vars(record).items() if name not in OWN}
    texts = [record.getMessage(), *(value if isinstance(value, str) else repr(value) for value in extras.values())]
    return [text for text in texts if _CONTROL.search(text)]


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "goose_queues")


def of_goose(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("goose")]


async def test_what_jobs_raise_return_and_decide(boot: Boot, caplog: pytest.LogCaptureFixture) -> None:
    async with boot(Fails, Threaded, Withdrawn, Returns, Decides, background=True) as kernel:
        client = kernel.get(Client)
        jobs = (Fails(), Threaded(), Withdrawn(), Returns(), Decides())
        handles = [await client.dispatch(job).meta(who=IN_STORE) for job in jobs]
        for handle in handles:
            await wait_until(lambda handle=handle: _has_ended(client, handle.id))
    logged = of_goose(caplog)
    told = [record.getMessage() for record in logged if "forged" in record.getMessage()]
    assert len(told) >= 5
    assert [(record.name, text) for record in logged for text in unsafe(record)] == []


async def test_what_is_said_of_a_job_from_outside(boot: Boot, caplog: pytest.LogCaptureFixture) -> None:
    async with boot(Waits, background=True) as kernel:
        client = kernel.get(Client)
        running, waiting = await client.dispatch(Waits()), await client.dispatch(Waits()).delay(60)
        await wait_until(lambda: kernel.get(Supervisor).workers[1].unfinished == [running.id])
        for handle in (running, waiting):
            await client.cancel(handle.id, ATTACK)
            await wait_until(lambda handle=handle: _has_ended(client, handle.id))
            note = (await handle.status()).note
            assert note is not None
            assert note.startswith("ok\\x0d\\x0a2027-01-01 ERROR root forged\\x1b[31m")
    assert [(record.name, text) for record in of_goose(caplog) for text in unsafe(record)] == []


async def test_what_a_hand_has_written_into_rows(boot: Boot, hand: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Ids, queues and payloads: of jobs that fail, that run while it is written, and of leases that are lost by it."""
    async with boot(Typed, Threaded, Waits) as kernel:
        client = kernel.get(Client)
        await client.dispatch_many([Typed(), Threaded(), Threaded()])
        hand(
            "update goose_jobs set payload = json_object('numbers', json_object(?, ?)) where name = 'Typed'",
            IN_STORE,
            "x",
        )
        hand("update goose_jobs set id = ? where rowid = 2", f"{IN_STORE} 2")
        hand("update goose_jobs set id = ? where rowid = 3", IN_STORE.encode())
        await client.dispatch(Waits())
        hand("update goose_jobs set id = ? where name = 'Waits'", f"{IN_STORE} 4")
    clock = Clock()
    async with boot(
        Typed, Threaded, Waits, background=True, retention_period=0, shutdown_timeout=0, overrides={Clock: clock}
    ) as kernel:
        supervisor = kernel.get(Supervisor)
        await wait_until(lambda: hand("select count(*) from goose_jobs where state = 'failed'") == [(3,)])
        await wait_until(lambda: supervisor.workers[1].unfinished == [f"{IN_STORE} 4"])
        hand("update goose_jobs set queue = ? where state = 'failed'", IN_STORE)
        clock.offset += 1
        await supervisor.maintenance.prune()
        supervisor._heartbeat._lose(supervisor._heartbeat._held)
    assert any("is ended: its lease was lost" in record.getMessage() for record in caplog.records)
    assert any("counts corrected" in record.getMessage() for record in caplog.records)
    assert sum("forged" in record.getMessage() for record in of_goose(caplog)) >= 3
    assert [(record.name, text) for record in of_goose(caplog) for text in unsafe(record)] == []


async def _has_ended(client: Client, job_id: str) -> bool:
    return (await client.get_status(job_id)).finished_at is not None
