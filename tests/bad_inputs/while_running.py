"""Rows 33, 34 and 48 to 56: what handlers, hooks and middleware do wrong, and what is asked of jobs that are there or not."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from bad_inputs.case import Bench, Case, accepted, refused
from bad_inputs.jobs import Acts, Again, Decides, Doubled, Forgotten, Good, Spins, Waits
from goose_queues import InvalidFilter, JobConflict, JobContext, JobNotFound, JobStatus
from waiting import wait_until


async def act(bench: Bench, act: Any, cls: type[Acts] = Acts) -> JobStatus:
    """Run a job that does this, to its end."""
    cls.act = staticmethod(act)
    return await bench.ended((await bench.queue.dispatch(cls())).id)


def breaks(what: str, fact: str, **hooks: Any) -> Case:
    """A hook raises, and so the job has failed for good."""

    async def show(bench: Bench) -> None:
        Decides.retry, Decides.wait = hooks.get("retry", True), hooks.get("wait")
        status = await bench.ended((await bench.queue.dispatch(Decides())).id)
        assert (status.status, status.attempts, status.note) == ("failed", 1, None)
        assert status.error == f"HookFailed: {fact}, after OSError: broken"

    return accepted(33, what, show)


def no_delay(what: str, wait: Any, shown: str) -> Case:
    """A hook answers what is no delay: the class's own is used, and a note says so."""

    async def show(bench: Bench) -> None:
        Decides.retry, Decides.wait = True, wait
        handle = await bench.queue.dispatch(Decides())

        async def is_told() -> bool:
            return (await handle.status()).note is not None

        await wait_until(is_told)
        status = await handle.status()
        assert (status.status, status.attempts, status.error) == ("pending", 1, "OSError: broken")
        assert status.note == f"retry_after() returned {shown}: the default delay was used"
        assert status.started_at is not None
        assert (status.available_at - status.started_at).total_seconds() >= 60

    return accepted(34, what, show)


def exits(what: str, error: BaseException) -> Case:
    """A handler raises what would end a process; only its job fails."""

    async def show(bench: Bench) -> None:
        def leave(ctx: JobContext) -> None:
            raise error

        status = await act(bench, leave)
        assert (status.status, status.error) == ("failed", f"{type(error).__name__}: {error}".removesuffix(": "))
        assert (await bench.kernel.check())["Supervisor.on_run"] is None

    return accepted(54, what, show)


def dropped(what: str, value: Any, note: str) -> Case:
    """A handler returns what cannot be kept; the job is completed all the same, with a note and a warning."""

    async def show(bench: Bench) -> None:
        with bench.log.at_level(logging.WARNING):
            status = await act(bench, lambda _: value)
        assert (status.status, status.result, status.note) == ("completed", None, f"the result was dropped: {note}")
        assert f"Acts {status.id}: the result was dropped: {note}" in bench.log.messages

    return accepted(53, what, show)


def unknown_id(what: str, job_id: Any) -> Case:
    """An id of nothing: always the same answer, which does not repeat it."""

    async def show(bench: Bench) -> None:
        for ask in (bench.queue.get_status, bench.queue.cancel, bench.queue.retry):
            with pytest.raises(JobNotFound) as caught:
                await ask(job_id)
            assert (str(caught.value), caught.value.status_code) == ("no such job", 404)

    return accepted(48, what, show, stores=0)


async def another_tenants(bench: Bench) -> None:
    """Of another store: there is no such job here."""
    async with bench.boots(Good) as kernel:
        other = await kernel.get(type(bench.queue)).dispatch(Good())
    await unknown_id("", other.id).show(bench)


def listing(what: str, *facts: str, **filters: Any) -> Case:
    """A listing that is asked for wrongly: refused (400) with what is allowed."""

    async def attempt(bench: Bench) -> None:
        async for _ in bench.queue.jobs(**filters):
            pass

    case = refused(49, what, attempt, InvalidFilter, *facts)
    assert InvalidFilter.status_code == 400
    return case


def a_cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


async def capped(bench: Bench) -> None:
    """However many are asked for, one look brings 200 at most."""
    store, asked = bench.supervisor.store, []
    jobs = store.jobs

    async def counted(wanted: Any, limit: int, cursor: str | None = None) -> Any:
        asked.append(limit)
        return await jobs(wanted, limit, cursor)

    bench.patch.setattr(store, "jobs", counted)
    async for _ in bench.queue.jobs(limit=10**9):
        pass
    assert set(asked) == {200}


async def retried_while_it_runs(bench: Bench) -> None:
    Waits.gate, Waits.running = asyncio.Event(), asyncio.Event()
    handle = await bench.queue.dispatch(Waits())
    await Waits.running.wait()
    await conflict(bench, handle.id, "processing")
    Waits.gate.set()
    await bench.ended(handle.id)


async def retried_when_completed(bench: Bench) -> None:
    handle = await bench.queue.dispatch(Good())
    await bench.ended(handle.id)
    await conflict(bench, handle.id, "completed")


async def conflict(bench: Bench, job_id: str, state: str) -> None:
    with pytest.raises(JobConflict) as caught:
        await bench.queue.retry(job_id)
    assert caught.value.status_code == 409
    assert state in str(caught.value)


async def two_clicks(bench: Bench) -> None:
    """The second finds the job pending or beyond; there is one row all the time, and it runs once more."""
    ran: list[int] = []

    def fail_first(ctx: JobContext) -> None:
        ran.append(ctx.attempt)
        if len(ran) == 1:
            raise ValueError("once")

    status = await act(bench, fail_first)
    clicks = await asyncio.gather(*(bench.queue.retry(status.id) for _ in range(2)), return_exceptions=True)
    assert [type(click) for click in clicks if click is not None] == [JobConflict]
    assert (await bench.ended(status.id)).status == "completed"
    assert len(ran) == 2


async def cancelled_thread(bench: Bench) -> None:
    for event in (Spins.running, Spins.told, Spins.go):
        event.clear()
    handle = await bench.queue.dispatch(Spins())
    await wait_until(Spins.running.is_set)
    await bench.queue.cancel(handle.id, "no longer wanted")
    await wait_until(Spins.told.is_set)
    status = await bench.queue.get_status(handle.id)
    assert (status.status, status.cancel_requested) == ("processing", True)
    Spins.go.set()
    status = await bench.ended(handle.id)
    assert (status.status, status.note) == ("cancelled", "no longer wanted")


KILLS_ITS_PROCESS = """
import os, sys
import goose
from goose import Module
from goose_queues import Job, JobContext, QueuesModule

class Acts(Job):
    note: list[str] = []
    async def handle(self, ctx: JobContext) -> None:
        os._exit(3)

class App(Module):
    declarations = (Acts,)

goose.start(goose.worker(App, [QueuesModule(url=sys.argv[1], queues=["deadly"])]))
"""


async def ends_its_process(bench: Bench) -> None:
    """Its worker dies: what is counted is a death, not a failure, and another worker may have it."""
    handle = await bench.queue.dispatch(Acts()).on_queue("deadly")
    command = [sys.executable, "-c", KILLS_ITS_PROCESS, bench.url]
    process = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert process.returncode == 3
    assert bench.hand.lapse(job=handle.id) == {handle.id}

    async def is_back() -> bool:
        return (await handle.status()).status == "pending"

    await wait_until(is_back)
    found = bench.found(handle.id)
    assert (found.attempts, found.failures, found.deaths) == (1, 0, 1)


async def changes_its_payload(bench: Bench) -> None:
    """The job is frozen; what a list in it becomes, the next attempt does not see."""
    seen: list[list[str]] = []

    def change(ctx: JobContext) -> None:
        job: Any = ctx.job
        seen.append(list(job.note))
        job.note.append("changed")
        job.note = ["other"]

    status = await act(bench, change, Again)
    assert (status.status, status.attempts, seen) == ("failed", 2, [[], []])
    assert "Instance is frozen" in str(status.error)
    assert bench.found(status.id).payload == '{"note":[]}'


async def forgets_next(bench: Bench) -> None:
    with bench.log.at_level(logging.INFO):
        status = await bench.ended((await bench.queue.dispatch(Forgotten())).id)
    assert (status.status, status.result) == ("completed", None)
    assert "Forgets ended the job without calling next()" in bench.log.messages


async def calls_next_twice(bench: Bench) -> None:
    status = await bench.ended((await bench.queue.dispatch(Doubled())).id)
    assert (status.status, status.error) == ("failed", "RuntimeError: next() was already called")


CURSOR = "use the cursor of an earlier"

CASES = [
    breaks("retry-after-raises", "retry_after() raised ValueError: oops", wait=ValueError("oops")),
    breaks("should-retry-raises", "should_retry() raised ValueError: oops", retry=ValueError("oops")),
    no_delay("nan", float("nan"), "nan"),
    no_delay("negative", -1, "-1"),
    no_delay("text", "soon", "'soon'"),
    unknown_id("word", "abc"),
    unknown_id("empty", ""),
    unknown_id("number", 10**30),
    unknown_id("sql", "' OR 1=1 --"),
    unknown_id("nul", "\x00"),
    unknown_id("surrogate", "\ud800"),
    unknown_id("nothing", None),
    accepted(48, "another-tenants", another_tenants, stores=0),
    listing("status", "status='sideways'", "use one of pending, processing, completed", status="sideways"),
    listing("negative-limit", "limit='-1'", "use a whole number above 0", limit=-1),
    listing("text-limit", "limit='ten'", "use a whole number above 0", limit="ten"),
    listing("queue", "queue=", "use text, or None for all", queue=5),
    listing("cursor", "cursor='garbage'", CURSOR, cursor="garbage"),
    listing("cursor-of-numbers", CURSOR, cursor=a_cursor(0, "ready", 10**30, 1, "x")),
    listing("cursor-of-sql", CURSOR, cursor=a_cursor(0, "payload; --", 1)),
    accepted(49, "large-limit", capped, stores=0),
    accepted(51, "running", retried_while_it_runs),
    accepted(51, "completed", retried_when_completed),
    accepted(51, "unknown", unknown_id("", "01a20acc-dafb-765c-a4ca-61c28b7f79af").show, stores=0),
    accepted(51, "two-clicks", two_clicks),
    accepted(52, "running-thread", cancelled_thread),
    dropped("bytes", {"a": b"bytes"}, "$.a: bytes is not JSON; encode it yourself"),
    dropped("int-keys", {1: 2}, "$: key 1 is not a string"),
    dropped("50-mb", "x" * 50_000_000, "50000002 bytes > 262144; store a reference"),
    exits("sys-exit", SystemExit(3)),
    exits("keyboard-interrupt", KeyboardInterrupt()),
    exits("generator-exit", GeneratorExit()),
    accepted(54, "os-exit", ends_its_process),
    accepted(55, "changed-payload", changes_its_payload),
    accepted(56, "forgotten-next", forgets_next),
    accepted(56, "second-next", calls_next_twice),
]
