"""Web processes and workers killed all the time: what was acknowledged is done, and what is completed stays so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from random import Random

import httpx2

import goose
from checker import attempts_in_flight, check
from faults.application import application
from fleet import Fleet, Process, free_port
from goose_queues import Client, JobStatus
from havoc import Havoc
from soak import size
from waiting import wait_until

JOBS, TOGETHER, POSTERS = size(200, 5000), 5, 4
EVERY = size(0.5, 1.0)
"""Seconds from kill to kill, of a worker and of a web process."""
KILLS = size(2, 20)


async def test_nothing_is_lost(fleet: Fleet) -> None:
    """Every acknowledged job runs to its end; once a status says completed, it never says anything else."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        front, havoc = Front(fleet), Havoc(fleet, 3, slots=size(4, 16))
        await havoc.ready()
        async with polling(fleet, kernel.get(Client)) as poller, havoc.kills(EVERY), front.kills(EVERY):
            await asyncio.gather(*(front.post(JOBS // POSTERS, KILLS) for _ in range(POSTERS)))
            await wait_until(fleet.is_over, deadline=120)
        seen = len(poller.completed)
        assert await havoc.dismiss() == [0, 0, 0], fleet.log.read_text()
        await poller.look(fleet.endings())

    history = fleet.history()
    assert check(history) == []
    hits = attempts_in_flight(history)
    known = sum(facts.acknowledged for facts in history.dispatched.values())
    print(
        f"{known} of {len(history.dispatched)} acknowledged, {len(hits)} kills, in flight {hits}, {front.cut} cut off, {seen} seen"
    )
    assert known >= JOBS
    assert len(hits) >= 2 * KILLS
    assert sum(hits) > 0, "no kill hit a job"
    assert front.cut > 0, "no kill hit a request"
    assert seen > 0, "nothing was read as completed while others were killed"
    assert poller.changed == []


class Front:
    """A web process that takes jobs, killed now and then and started again on the same port."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._port = str(free_port())
        self._process = fleet.start("api", self._port, workers=0)
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=60)
        self._answered: Process | None = None
        self._asked = 0
        """Requests on their way."""
        self.killed = 0
        self.cut = 0
        """Requests that got no answer."""

    async def post(self, jobs: int, kills: int) -> None:
        """Dispatch some at a time, until there are so many jobs and kills, and a kill has hit a request."""
        while jobs > 0 or self.killed < kills or not self.cut:
            await asyncio.sleep(0.02)
            try:
                ids = await self._dispatched()
            except (httpx2.ReadError, httpx2.RemoteProtocolError):
                self.cut += 1
            except httpx2.ConnectError:
                continue  # The next one is not up yet.
            else:
                self._answered = self._process
                jobs -= TOGETHER
                for job in ids:
                    self._fleet.ledger.write("dispatched", job)

    @asynccontextmanager
    async def kills(self, every: float) -> AsyncIterator[None]:
        """Within the block it is killed so many seconds after its first answer, with a request in its hands."""

        async def go_on() -> None:
            while True:
                await wait_until(lambda: self._answered is self._process, deadline=600)
                await asyncio.sleep(every)
                await wait_until(lambda: self._asked > 0, deadline=600)
                self._fleet.kill(self._process)
                self.killed += 1
                self._process = self._fleet.start("api", self._port, workers=0)

        killing = asyncio.ensure_future(go_on())
        try:
            yield
            assert not killing.done(), killing.exception()
        finally:
            killing.cancel()
            await asyncio.wait((killing,))
            await self._http.aclose()

    async def _dispatched(self) -> list[str]:
        self._asked += 1
        try:
            answer = await self._http.post(f"/steps/{TOGETHER}", params={"seconds": "0.1"})
        finally:
            self._asked -= 1
        assert answer.status_code == 200, answer.text
        ids: list[str] = answer.json()
        return ids


class Poller:
    """Reads statuses of jobs again and again, and remembers what has completed."""

    def __init__(self, fleet: Fleet, queue: Client) -> None:
        self._fleet = fleet
        self._queue = queue
        self.completed: dict[str, JobStatus] = {}
        self.changed: list[tuple[JobStatus, JobStatus]] = []

    async def look(self, jobs: Iterable[str]) -> None:
        for job in jobs:
            status = await self._queue.get_status(job)
            before = self.completed.get(job)
            if before is not None and status != before:
                self.changed.append((before, status))
            if before is None and status.status == "completed":
                self.completed[job] = status
                self._fleet.ledger.write("seen", job, note="completed")

    async def look_on(self) -> None:
        """Look at some of the jobs that were dispatched, and at some that were completed, for ever."""
        chance = Random(1)
        while True:
            open_ones = [entry.job for entry in self._fleet.ledger.read() if entry.event == "dispatched"]
            for jobs in (open_ones, list(self.completed)):
                await self.look(chance.sample(jobs, min(len(jobs), 20)))
            await asyncio.sleep(0.05)


@asynccontextmanager
async def polling(fleet: Fleet, queue: Client) -> AsyncIterator[Poller]:
    poller = Poller(fleet, queue)
    looking = asyncio.ensure_future(poller.look_on())
    try:
        yield poller
        assert not looking.done(), looking.exception()
    finally:
        looking.cancel()
        await asyncio.wait((looking,))
