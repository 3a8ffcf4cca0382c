"""Tests of goose_sql.turnstile: one holder, first come, first served, threads and tasks alike."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from goose_sql.turnstile import Turnstile, turnstile_of
from waiting import wait_until


def waiting_in(turnstile: Turnstile) -> int:
    return len(turnstile._line)


async def test_order() -> None:
    """Threads and tasks get the turn in the order of their coming; who comes first by right, before them."""
    turnstile = Turnstile()
    came: list[str] = []

    async def task(name: str) -> None:
        assert await turnstile.enter(20)
        came.append(name)
        turnstile.leave()

    def thread(name: str, *, first: bool = False) -> None:
        assert turnstile.enter_blocking(20, first=first)
        came.append(name)
        turnstile.leave()

    assert turnstile.enter_blocking(0)
    waiters: list[asyncio.Future[None]] = []
    for number, start in enumerate(
        (
            lambda: asyncio.ensure_future(task("task 1")),
            lambda: asyncio.ensure_future(asyncio.to_thread(thread, "thread 2")),
            lambda: asyncio.ensure_future(task("task 3")),
            lambda: asyncio.ensure_future(asyncio.to_thread(thread, "urgent", first=True)),
        ),
        start=1,
    ):
        waiters.append(start())
        await wait_until(lambda number=number: waiting_in(turnstile) == number)
    turnstile.leave()
    await asyncio.gather(*waiters)
    assert came == ["urgent", "task 1", "thread 2", "task 3"]


async def test_patience() -> None:
    """Who waits too long leaves the line, and the turn goes to the next."""
    turnstile = Turnstile()
    assert await turnstile.enter(0)
    assert not await turnstile.enter(0.01)
    assert not await asyncio.to_thread(turnstile.enter_blocking, 0.01)
    assert waiting_in(turnstile) == 0
    turnstile.leave()
    assert turnstile.enter_blocking(0)


async def test_cancelled_while_waiting() -> None:
    """A cancelled task leaves the line; one that is cancelled with the turn in its hand passes it on."""
    turnstile = Turnstile()
    assert await turnstile.enter(0)
    early, late = (asyncio.ensure_future(turnstile.enter(20)) for _ in range(2))
    await wait_until(lambda: waiting_in(turnstile) == 2)
    early.cancel()
    await wait_until(lambda: waiting_in(turnstile) == 1)
    turnstile.leave()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert turnstile.enter_blocking(0)


def test_closed_loop() -> None:
    """A turn that would go to a closed event loop goes to the next."""
    turnstile = Turnstile()
    turnstile.enter_blocking(0)

    async def leave_unfinished() -> None:
        future = asyncio.ensure_future(turnstile.enter(20))
        await wait_until(lambda: waiting_in(turnstile) == 1)
        # The loop ends without its cancellation reaching the line: as if its thread had died.
        ticket = turnstile._line[0]
        future.cancel()
        await asyncio.wait((future,))
        turnstile._line.append(ticket)

    asyncio.run(leave_unfinished())
    got = threading.Event()
    thread = threading.Thread(target=lambda: turnstile.enter_blocking(20) and got.set())
    thread.start()
    asyncio.run(wait_until(lambda: waiting_in(turnstile) == 2))
    turnstile.leave()
    thread.join()
    assert got.is_set()


def test_one_for_each_file(tmp_path: Path) -> None:
    """Everyone in the process who writes to a file gets the same turnstile."""
    one = turnstile_of(tmp_path / "a")
    assert turnstile_of(tmp_path / "a") is one
    assert turnstile_of(tmp_path / "b") is not one
