from __future__ import annotations

import asyncio

import pytest

from goose.http.deadline import Deadline, Deadlines
from goose.http.errors import HandlerTimeout
from waiting import wait_until


async def forever() -> None:
    await asyncio.Event().wait()


async def test_what_takes_too_long_is_cancelled() -> None:
    with pytest.raises(HandlerTimeout) as caught, Deadline(Deadlines(0.001), "Orders.list"):
        await forever()
    assert (caught.value.handler, caught.value.seconds) == ("Orders.list", 0.001)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_each_of_many_ends_in_its_turn() -> None:
    deadlines = Deadlines(0.001)

    async def one() -> None:
        with Deadline(deadlines, "one"):
            await forever()

    found = await asyncio.gather(*(one() for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in found] == [HandlerTimeout] * 5
    with pytest.raises(HandlerTimeout):  # the timer is set anew after a time with nothing to watch
        await one()


async def test_one_that_began_later_ends_later() -> None:
    deadlines = Deadlines(0.02)
    ended: list[str] = []

    async def one(name: str) -> None:
        try:
            with Deadline(deadlines, name):
                await forever()
        except HandlerTimeout as error:
            ended.append(error.handler)

    first = asyncio.create_task(one("first"))
    await wait_until(lambda: len(deadlines._running) == 1)
    second = asyncio.create_task(one("second"))
    await asyncio.wait_for(asyncio.gather(first, second), 10)
    assert ended == ["first", "second"]


async def test_what_is_done_in_time_is_left_alone() -> None:
    deadlines = Deadlines(0.001)
    with Deadline(deadlines, "quick"):
        pass
    with pytest.raises(HandlerTimeout), Deadline(deadlines, "slow"):
        await forever()


async def test_without_a_limit_nothing_is_watched() -> None:
    deadlines = Deadlines(None)
    with Deadline(deadlines, "any"):
        assert deadlines._running == {}
    assert deadlines._timer is None


async def test_an_error_of_its_own_passes() -> None:
    with pytest.raises(TimeoutError, match="mine"), Deadline(Deadlines(10), "any"):
        raise TimeoutError("mine")


async def messy() -> None:
    try:
        await forever()
    finally:
        raise ValueError("clean-up")


async def test_an_error_of_the_clean_up_is_the_limits_too() -> None:
    with pytest.raises(HandlerTimeout) as caught, Deadline(Deadlines(0.001), "any"):
        await messy()
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    deadlines = Deadlines(0.001)

    async def work() -> None:
        with Deadline(deadlines, "any"):
            try:
                await forever()
            except asyncio.CancelledError:
                task.cancel()
                raise

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
