from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator

import anyio.from_thread
import pytest

from goose_queues.errors import JobCancelled, JobTimeout
from goose_queues.threads import HandlerThreads, ThreadCall
from waiting import wait_until

word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="unset")


@pytest.fixture
async def threads() -> AsyncIterator[HandlerThreads]:
    made = HandlerThreads()
    yield made
    made.close()


async def run(threads: HandlerThreads, call: ThreadCall) -> object:
    threads.start(call)
    await call.done
    return call.result()


async def test_a_function_runs_in_a_daemon_thread_with_the_callers_context(threads: HandlerThreads) -> None:
    word.set("here")

    def look() -> tuple[str, bool]:
        return word.get(), threading.current_thread().daemon

    assert await run(threads, ThreadCall(look)) == ("here", True)


async def test_what_a_function_raises_is_raised_by_result(threads: HandlerThreads) -> None:
    def fail() -> None:
        raise SystemExit("no")

    with pytest.raises(SystemExit):
        await run(threads, ThreadCall(fail))


async def test_async_code_is_reached_through_anyio(threads: HandlerThreads) -> None:
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    assert await run(threads, ThreadCall(lambda: anyio.from_thread.run(double, 21))) == 42


async def test_threads_are_used_again_and_end_when_closed() -> None:
    threads = HandlerThreads()
    first = await run(threads, ThreadCall(threading.current_thread))
    second = await run(threads, ThreadCall(threading.current_thread))
    assert first is second
    assert isinstance(first, threading.Thread)

    go = threading.Event()
    call = ThreadCall(lambda: (go.wait(30), threading.current_thread())[1])
    threads.start(call)
    threads.close()
    go.set()
    await call.done
    busy = call.result()

    await wait_until(lambda: not first.is_alive() and not busy.is_alive())


async def test_an_interrupt_is_raised_inside_the_function(threads: HandlerThreads) -> None:
    running = threading.Event()

    def spin() -> None:
        running.set()
        while True:
            time.monotonic()

    call = ThreadCall(spin)
    threads.start(call)
    await wait_until(running.is_set)
    call.interrupt(JobTimeout)
    await call.done

    with pytest.raises(JobTimeout, match=r"^the job ran longer than its timeout$"):
        call.result()


async def test_an_interrupt_before_the_function_begins_comes_instead_of_it(threads: HandlerThreads) -> None:
    ran = []
    call = ThreadCall(lambda: ran.append(1))
    call.interrupt(JobCancelled)
    threads.start(call)
    await call.done

    with pytest.raises(JobCancelled):
        call.result()
    assert ran == []


async def test_an_interrupt_after_the_function_has_returned_lands_nowhere(threads: HandlerThreads) -> None:
    call = ThreadCall(lambda: "done")
    threads.start(call)
    await call.done
    call.interrupt(JobTimeout)

    assert call.result() == "done"
    assert await run(threads, ThreadCall(lambda: sum(range(10_000)))) == 49_995_000


async def test_an_interrupt_at_the_very_end_never_reaches_the_next_call(threads: HandlerThreads) -> None:
    landed = 0
    for number in range(400):
        call = ThreadCall(lambda: None)
        threads.start(call)
        for _ in range(number % 7):
            time.monotonic_ns()
        call.interrupt(JobTimeout)
        await call.done
        try:
            call.result()
        except JobTimeout:
            landed += 1
        assert await run(threads, ThreadCall(lambda: sum(range(100)))) == 4950
    assert 0 <= landed <= 400


async def test_a_loop_that_has_closed_over_a_running_thread_is_left_alone() -> None:
    threads, go, made = HandlerThreads(), threading.Event(), []

    def elsewhere() -> None:
        async def begin() -> None:
            call = ThreadCall(lambda: (go.wait(30), made.append(threading.current_thread())))
            threads.start(call)

        asyncio.run(begin())

    await asyncio.to_thread(elsewhere)
    go.set()
    threads.close()

    await wait_until(lambda: bool(made) and not made[0].is_alive())
