"""This project's side of the queue contests: one job that counts itself, in the smallest application that runs it."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import goose
from goose import Module
from goose_queues import Client, Job, JobContext, QueuesModule

from .contest import BenchmarkError, Trial
from .measure import LIMIT, Counter, text_for
from .traffic import Traffic, watched

WORKERS = 100
"""Concurrent jobs of the queue in this process: as many as a claim of the raw contestant takes."""


class Drained(NamedTuple):
    """What it took to run what was waiting."""

    seconds: float
    cpu: float
    """Seconds of processor time of this process."""


class Work(Job):
    """A no-op job that counts itself."""

    number: int
    text: str

    async def handle(self, ctx: JobContext) -> None:
        """Count."""
        Handled.by(self.number)


class Handled:
    """Where the running trial counts."""

    by: Callable[[int], None] = staticmethod(lambda number: None)


class BenchModule(Module):
    """Declares the job."""

    declarations = (Work,)


@asynccontextmanager
async def running(
    trial: Trial, counter: Callable[[int], None], *, background: bool, workers: int = WORKERS
) -> AsyncIterator[Client]:
    """Boot the application on the trial's database; gives its client."""
    Handled.by = staticmethod(counter)
    async with goose.running(
        goose.worker(BenchModule, [queues_of(trial.url, workers)]), background=background
    ) as kernel:
        yield kernel.get(Client)


def queues_of(url: str, workers: int) -> QueuesModule:
    """The module that keeps its jobs there."""
    if url.startswith("redis"):
        return QueuesModule(driver="redis", url=url, workers=workers)
    return QueuesModule(url=url, workers=workers, auto_migrate=True)


def job(number: int) -> Work:
    """Job ``number`` with its payload of 200 bytes."""
    return Work(number=number, text=text_for(number))


def drain(trial: Trial, workers: int = WORKERS) -> Drained:
    """Run ``trial.size`` waiting jobs, until the store counts each as completed."""

    async def fill(client: Client) -> None:
        await client.dispatch_many(job(number) for number in range(trial.size))

    return _fill_and_drain(trial, fill, trial.size, workers)


def drain_batch(trial: Trial, workers: int) -> Drained:
    """The same for the members of one batch, with the two jobs that it calls back."""

    async def fill(client: Client) -> None:
        batch = client.batch(job(number) for number in range(trial.size))
        await batch.then(job(trial.size)).finally_(job(trial.size + 1)).dispatch()

    return _fill_and_drain(trial, fill, trial.size + 2, workers)


def drain_chains(trial: Trial, links: int, workers: int) -> Drained:
    """The same for the links of chains, so many in each."""

    async def fill(client: Client) -> None:
        async with asyncio.TaskGroup() as group:
            for first in range(0, trial.size, links):
                numbers = range(first, min(first + links, trial.size))
                group.create_task(client.chain(*(job(number) for number in numbers)).dispatch())

    return _fill_and_drain(trial, fill, trial.size, workers)


def dispatch_alone(trial: Trial) -> float:
    """Seconds to dispatch one after the other; every job then runs, untimed."""

    async def one_by_one(client: Client) -> None:
        for number in range(trial.size):
            await client.dispatch(job(number))

    return _dispatch(trial, one_by_one)


def dispatch_together(trial: Trial, callers: int) -> float:
    """Seconds for concurrent callers to dispatch; every job then runs, untimed."""

    async def together(client: Client) -> None:
        async def caller(first: int) -> None:
            for number in range(first, trial.size, callers):
                await client.dispatch(job(number))

        async with asyncio.TaskGroup() as group:
            for first in range(callers):
                group.create_task(caller(first))

    return _dispatch(trial, together)


def dispatch_many(trial: Trial) -> float:
    """Seconds to dispatch all in one sentence; every job then runs, untimed."""

    async def at_once(client: Client) -> None:
        await client.dispatch_many(job(number) for number in range(trial.size))

    return _dispatch(trial, at_once)


def latencies(trial: Trial, pause: float) -> list[float]:
    """Seconds from the call of ``dispatch`` to the start of ``handle`` on an idle worker of this process."""

    async def measure() -> list[float]:
        counter, started, seconds = Counter(trial.size), asyncio.Event(), list[float]()
        async with running(trial, counter, background=True) as client:

            def start(number: int) -> None:
                counter(number)
                seconds.append(time.perf_counter() - called)
                started.set()

            Handled.by = staticmethod(start)
            _tidy()
            for number in range(trial.size):
                await asyncio.sleep(pause)
                started.clear()
                called = time.perf_counter()
                await client.dispatch(job(number))
                async with asyncio.timeout(LIMIT):
                    await started.wait()
        counter.verify()
        return seconds

    return asyncio.run(measure())


def traffic(trial: Trial) -> tuple[Traffic, Traffic]:
    """What the server is asked by jobs that are dispatched one by one, and then by workers that run them."""

    async def measure() -> tuple[Traffic, Traffic]:
        counter = Counter(trial.size)
        async with running(trial, counter, background=False) as client:
            with watched(trial.url) as dispatched:
                for number in range(trial.size):
                    await client.dispatch(job(number))
        with watched(trial.url) as worked:
            await _run_what_waits(trial, counter)
        return dispatched, worked

    return asyncio.run(measure())


async def stored(trial: Trial, count: int) -> None:
    """Store so many jobs, none of which runs."""
    async with running(trial, Counter(count), background=False) as client:
        await client.dispatch_many(job(number) for number in range(count))


async def store_one(trial: Trial) -> None:
    """Store a single one, as a dispatch does that nobody else joins."""
    async with running(trial, Counter(1), background=False) as client:
        await client.dispatch(job(0))


def one_row_each(trial: Trial) -> dict[str, tuple[list[str], tuple[object, ...]]]:
    """What a single dispatch leaves in the file: for each table that it wrote to, the columns and the row."""

    async def dispatch_one() -> None:
        async with running(trial, Counter(1), background=False) as client:
            before.update(_counts(trial))
            await client.dispatch(job(0))

    before: dict[str, int] = {}
    asyncio.run(dispatch_one())
    written: dict[str, tuple[list[str], tuple[object, ...]]] = {}
    with sqlite3.connect(trial.file) as connection:
        for table, count in _counts(trial).items():
            if count == before.get(table, 0) + 1:
                cursor = connection.execute(f'select * from "{table}" order by rowid desc limit 1')
                written[table] = ([column[0] for column in cursor.description], cursor.fetchone())
    connection.close()
    return written


def _counts(trial: Trial) -> dict[str, int]:
    with sqlite3.connect(trial.file) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        counts = {table: connection.execute(f'select count(*) from "{table}"').fetchone()[0] for table in tables}
    connection.close()
    return counts


def _dispatch(trial: Trial, act: Callable[[Client], Awaitable[None]]) -> float:
    async def dispatch_and_drain() -> float:
        counter = Counter(trial.size)
        async with running(trial, counter, background=False) as client:
            _tidy()
            started = time.perf_counter()
            await act(client)
            seconds = time.perf_counter() - started
        await _run_what_waits(trial, counter)
        return seconds

    return asyncio.run(dispatch_and_drain())


def _fill_and_drain(trial: Trial, fill: Callable[[Client], Awaitable[None]], jobs: int, workers: int) -> Drained:
    async def fill_and_drain() -> Drained:
        counter = Counter(jobs)
        async with running(trial, counter, background=False) as client:
            await fill(client)
        return await _run_what_waits(trial, counter, workers)

    return asyncio.run(fill_and_drain())


def _tidy() -> None:
    """Collect what the boot has left behind: it takes 50 ms, and whether it falls due on the clock is chance."""
    gc.collect()


async def _run_what_waits(trial: Trial, counter: Counter, workers: int = WORKERS) -> Drained:
    """From the start of the workers until the store counts every job as completed."""
    _tidy()
    async with running(trial, counter, background=True, workers=workers) as client:
        started = min(time.perf_counter(), counter.first_at or float("inf"))
        used = min(time.process_time(), counter.first_cpu or float("inf"))
        deadline = started + LIMIT
        await asyncio.to_thread(counter.wait)
        while (await client.stats())["default"].completed < counter.expected and time.perf_counter() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        done = Drained(time.perf_counter() - started, time.process_time() - used)
        counter.verify()
        if (completed := (await client.stats())["default"].completed) != counter.expected:
            raise BenchmarkError(f"the store counts {completed:,} of {counter.expected:,} jobs as completed")
    return done
