"""This project's side of ``large_batch``; by itself, a process that dispatches and extends a lease all the while.

``python -m tests.benchmarks.large_batch_goose FILE``: to each line that it is sent it answers with its longest waits
since the line before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from goose import Kernel
from goose_queues import Client
from goose_queues.record import Claim, ClaimedJob
from goose_queues.store import Store
from goose_queues.supervisor import Supervisor

from .contest import BenchmarkError, Figures, Trial
from .elsewhere_goose import Nap, napping
from .ours import job

LEASE = 60.0
PAUSE = 0.002
"""Seconds between two dispatches, and between two extensions."""


class Probe:
    """Dispatches one job after the other on the event loop, and extends a lease from a thread, as a heartbeat does."""

    def __init__(self, client: Client, store: Store, held: ClaimedJob) -> None:
        self._client = client
        self._store = store
        self._held = held
        self._over = threading.Event()
        self._waits: dict[str, float] = {}
        self._began: dict[str, float] = {}
        """What is under way, and since when."""

    def longest(self) -> Figures:
        """The longest waits in milliseconds since this was last asked, with what is under way."""
        now = time.perf_counter()
        waits = {
            what: max(self._waits.get(what, 0.0), now - self._began.get(what, now))
            for what in ("dispatch", "heartbeat")
        }
        self._waits.clear()
        return {what: seconds * 1000 for what, seconds in waits.items()}

    async def dispatch_on(self) -> None:
        """Until cancelled."""
        while True:
            self._began["dispatch"] = began = time.perf_counter()
            await self._client.dispatch(Nap(number=0)).on_queue("probe")
            self._waited("dispatch", began)
            await asyncio.sleep(PAUSE)

    def extend_on(self) -> None:
        """Until ``end``; blocks its thread."""
        while not self._over.wait(PAUSE):
            self._began["heartbeat"] = began = time.perf_counter()
            if self._store.extend({self._held.id: self._held.token}, LEASE):
                raise BenchmarkError("the lease was lost")
            self._waited("heartbeat", began)

    def end(self) -> None:
        """Let the thread come to its end."""
        self._over.set()

    def _waited(self, what: str, began: float) -> None:
        del self._began[what]
        self._waits[what] = max(self._waits.get(what, 0.0), time.perf_counter() - began)


@asynccontextmanager
async def probing(kernel: Kernel, queue: str) -> AsyncIterator[Probe]:
    """Probe the store while the block runs."""
    client, store = kernel.get(Client), kernel.get(Supervisor).store
    await client.dispatch(Nap(number=0)).on_queue(queue)
    claimed = await store.claim(Claim(queue, frozenset({Nap.__name__}), 1, LEASE, "a-worker"))
    probe = Probe(client, store, claimed.jobs[0])
    extending = asyncio.create_task(asyncio.to_thread(probe.extend_on))
    dispatching = asyncio.create_task(probe.dispatch_on())
    try:
        yield probe
    finally:
        dispatching.cancel()
        probe.end()
        with suppress(asyncio.CancelledError):
            await dispatching
        await extending


async def batch_of(trial: Trial, client: Client) -> None:
    """One batch with its callback."""
    await client.batch(job(number) for number in range(trial.size)).then(job(trial.size)).dispatch()


async def jobs_of(trial: Trial, client: Client) -> None:
    """As many jobs on their own."""
    await client.dispatch_many(job(number) for number in range(trial.size))


async def dispatch(trial: Trial, act: Callable[[Trial, Client], Awaitable[None]]) -> Figures:
    """Seconds that it took, and how long a dispatch and a heartbeat had to wait meanwhile, here and in another process."""
    async with napping(trial.url) as kernel, probing(kernel, "held-here") as here:
        command = (sys.executable, "-m", f"{__package__}.large_batch_goose", trial.url)
        there = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        if there.stdin is None or there.stdout is None:
            raise BenchmarkError("the other process has no pipes")
        await there.stdout.readline()
        there.stdin.write(b"\n")
        await there.stdout.readline()
        here.longest()
        started = time.perf_counter()
        await act(trial, kernel.get(Client))
        seconds = time.perf_counter() - started
        waits = here.longest()
        there.stdin.write(b"\n")
        elsewhere = json.loads(await there.stdout.readline())
        there.stdin.close()
        await there.wait()
        stored = (await kernel.get(Client).stats())["default"].pending
        if stored != trial.size:
            raise BenchmarkError(f"{stored:,} of {trial.size:,} jobs were stored")
    return {
        "total": seconds,
        "dispatch": waits["dispatch"],
        "heartbeat": waits["heartbeat"],
        "dispatch_elsewhere": elsewhere["dispatch"],
        "heartbeat_elsewhere": elsewhere["heartbeat"],
    }


async def main() -> None:
    """Probe, and answer each line of the standard input, until it ends."""
    async with napping(sys.argv[1]) as kernel, probing(kernel, "held-elsewhere") as probe:
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(probe.longest()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
