"""Leases are kept while their jobs run, and given up in time when they cannot be."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from goose_queues.control import RunControl
from goose_queues.errors import StoreUnavailable
from goose_queues.heartbeat import Heartbeat
from goose_queues.record import ClaimedJob
from goose_queues.store import Store
from waiting import wait_until

LEASE = 0.3


class Leases:
    """The part of a store that extends leases, told what to answer."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, str]] = []
        self.blameless: list[frozenset[str]] = []
        self.limited: list[frozenset[str]] = []
        self.threads: set[int] = set()
        self.answer: Callable[[Mapping[str, str]], frozenset[str]] = lambda _: frozenset()

    def extend(
        self,
        tokens: Mapping[str, str],
        lease: float,
        *,
        blameless: frozenset[str] = frozenset(),
        limited: frozenset[str] = frozenset(),
    ) -> frozenset[str]:
        self.limited.append(limited)
        self.asked.append(dict(tokens))
        self.blameless.append(blameless)
        self.threads.add(threading.get_ident())
        return self.answer(tokens)


class Control(RunControl):
    __slots__ = ("lost",)

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    def lease_lost(self) -> None:
        self.lost += 1


def job(job_id: str) -> ClaimedJob:
    return ClaimedJob(
        job_id, "Work", "default", "{}", None, 1, 1, 0, 0, 3, None, datetime.now(UTC), token=f"token of {job_id}"
    )


def away(_: Mapping[str, str]) -> frozenset[str]:
    raise StoreUnavailable("sqlite:///queue.db", "it is away.")


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
async def beating(leases: Leases) -> Any:
    beating = Heartbeat(cast("Store", leases), LEASE, frozenset({"exports"}))
    beating.start()
    yield beating
    await beating.stop()


async def test_extends_what_is_held(beating: Heartbeat, leases: Leases) -> None:
    """What is held is extended with its token, from another thread, until it is let go."""
    beating.hold(job("a"), Control(), time.monotonic())
    beating.hold(job("b"), Control(), time.monotonic())
    await wait_until(lambda: {"a": "token of a", "b": "token of b"} in leases.asked)
    beating.let_go(job("a"))
    await wait_until(lambda: leases.asked[-1] == {"b": "token of b"})
    assert threading.get_ident() not in leases.threads


async def test_says_which_jobs_have_a_slot_of_the_whole_fleet(beating: Heartbeat, leases: Leases) -> None:
    """A lapsed lease of a limited queue is not to be extended: its slot may have been given away."""
    beating.hold(job("a"), Control(), time.monotonic())
    beating.hold(replace(job("b"), queue="exports"), Control(), time.monotonic())
    await wait_until(lambda: frozenset({"b"}) in leases.limited)


async def test_a_job_that_is_claimed_again(beating: Heartbeat, leases: Leases) -> None:
    """Its first attempt has lost the lease, is told so, and cannot end the second one's."""
    first, second = Control(), Control()
    again = replace(job("a"), token="a new token")
    beating.hold(job("a"), first, time.monotonic())
    beating.hold(again, second, time.monotonic())
    beating.finished(job("a"))
    beating.let_go(job("a"))
    await wait_until(lambda: {"a": "a new token"} in leases.asked)
    assert (first.lost, second.lost) == (1, 0)
    beating.let_go(again)
    asked = len(leases.asked)
    beating.hold(job("b"), Control(), time.monotonic())
    await wait_until(lambda: len(leases.asked) > asked)
    assert leases.asked[-1] == {"b": "token of b"}


async def test_asks_nothing_for_nothing(beating: Heartbeat, leases: Leases) -> None:
    """Without a job in hand, the store is left in peace."""
    await wait_until(lambda: not beating.cut_off)
    beating.hold(job("a"), Control(), time.monotonic())
    await wait_until(lambda: leases.asked)
    assert all(leases.asked)


async def test_a_blocked_loop(beating: Heartbeat, leases: Leases) -> None:
    """A handler that blocks the event loop keeps its lease."""
    beating.hold(job("a"), Control(), time.monotonic())
    extended = threading.Event()
    leases.answer = lambda _: extended.set() or frozenset()  # type: ignore[func-returns-value]
    assert extended.wait(30)


async def test_a_lost_lease(beating: Heartbeat, leases: Leases) -> None:
    """A job whose lease somebody else has is told to stop; the others are not."""
    lost, kept = Control(), Control()
    leases.answer = lambda _: frozenset({"lost"})
    beating.hold(job("lost"), lost, time.monotonic())
    beating.hold(job("kept"), kept, time.monotonic() + 60)
    await wait_until(lambda: lost.lost == 1)
    asked = len(leases.asked)
    await wait_until(lambda: len(leases.asked) > asked + 1)
    assert (lost.lost, kept.lost) == (1, 0)


async def test_a_finished_job(beating: Heartbeat, leases: Leases) -> None:
    """A job that has its outcome is not told to stop when its lease is gone: it may just have been settled."""
    control = Control()
    leases.answer = lambda _: frozenset({"a"})
    beating.hold(job("a"), control, time.monotonic() + 60)
    beating.finished(job("a"))
    await wait_until(lambda: len(leases.asked) > 1)
    assert control.lost == 0


async def test_a_store_that_is_away(beating: Heartbeat, leases: Leases, caplog: pytest.LogCaptureFixture) -> None:
    """Cut off for two thirds of the lease, jobs are told to stop and nothing more may be claimed; then it heals."""
    control = Control()
    leases.answer = away
    beating.hold(job("a"), control, time.monotonic())
    await wait_until(lambda: control.lost == 1)
    assert beating.cut_off
    leases.answer = lambda _: frozenset()
    await wait_until(lambda: not beating.cut_off)
    assert control.lost == 1
    assert "job a is ended: its lease could not be extended" in caplog.messages


async def test_survives_any_error(beating: Heartbeat, leases: Leases) -> None:
    """Whatever the store raises, the thread goes on."""

    def broken(_: Mapping[str, str]) -> frozenset[str]:
        raise ZeroDivisionError

    leases.answer = broken
    beating.hold(job("a"), Control(), time.monotonic() + 60)
    await wait_until(lambda: len(leases.asked) > 1)
    leases.answer = lambda _: frozenset()
    failed = len(leases.asked)
    await wait_until(lambda: len(leases.asked) > failed)


async def test_what_is_left_at_the_end(leases: Leases) -> None:
    """What is still held at the end gets one last extension that counts no death."""
    beating = Heartbeat(cast("Store", leases), 60)
    beating.start()
    beating.hold(job("stuck"), Control(), time.monotonic())
    await beating.stop()
    assert (leases.asked, leases.blameless) == ([{"stuck": "token of stuck"}], [frozenset({"stuck"})])
    await beating.stop()


async def test_once_is_enough(beating: Heartbeat) -> None:
    """Starting it again makes no second thread."""
    beating.start()
    beating.start()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("goose-heartbeat") == 1
    assert len([task for task in asyncio.all_tasks() if task.get_name() == "goose-heartbeat-watch"]) == 1
