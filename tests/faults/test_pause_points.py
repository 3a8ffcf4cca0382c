"""A worker that is killed, or told to stop, exactly between two steps that must not come apart."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

import goose
from faults.paused import Step, application
from fleet import Fleet
from goose_queues import BatchHandle, ChainHandle, Client, JobHandle
from quick_fleet import QuickFleet
from waiting import wait_until

POINTS = ("claim.committed", "handler.returned", "settle.sent", "settle.committed")
CHAINS, LINKS, MEMBERS, PLAIN = 4, 3, 8, 12


@pytest.fixture
def fleet(tmp_path: Path, url: URL | None) -> Iterator[Fleet]:
    fleet = QuickFleet(tmp_path, "faults.paused", url=url)
    yield fleet
    fleet.end()


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_a_point(fleet: Fleet, point: str, number: int) -> None:
    """Nothing is lost, order is kept, callbacks are called once, and only what was in flight runs twice."""
    app = application(fleet.url, fleet.ledger.path)
    async with goose.running(app) as kernel:
        chains, batch, plain = await dispatched(kernel.get(Client))
        victim = fleet.start(point, str(number), "SIGKILL")
        await wait_until(lambda: victim.poll() is not None)
        assert victim.returncode == -signal.SIGKILL, fleet.log.read_text()
        in_flight = fleet.hand.lapse()
        assert in_flight or point == "settle.committed"
    async with goose.running(app, background=True) as kernel:
        queue = kernel.get(Client)
        await wait_until(fleet.is_over)
        progress = await queue.get_batch(batch.id)
        assert (progress.completed, progress.failed, progress.cancelled) == (MEMBERS, 0, 0)
        statuses = [job.status async for job in queue.jobs()]
    assert statuses == ["completed"] * (CHAINS * LINKS + MEMBERS + PLAIN + 2)
    check_runs(fleet, chains, twice=in_flight)
    ids = {*batch.ids, *(job.id for job in plain), *(job_id for chain in chains for job_id in chain.ids)}
    assert ids < set(fleet.ledger.by_job("end"))
    assert {entry.note for entry in fleet.ledger.read() if entry.job not in ids} == {"then", "finally"}


@pytest.mark.parametrize("point", POINTS)
async def test_a_stop_at_a_point(fleet: Fleet, point: str) -> None:
    """SIGTERM there: exit 0, nothing runs twice, no death is counted, and the next process goes on at once."""
    app = application(fleet.url, fleet.ledger.path)
    async with goose.running(app) as kernel:
        chains, _, _ = await dispatched(kernel.get(Client))
        stopped = fleet.start(point, "2", "SIGTERM")
        await wait_until(lambda: stopped.poll() is not None)
        assert stopped.returncode == 0, fleet.log.read_text()
        assert "processing" not in {job.status for job in fleet.hand.jobs()}
    async with goose.running(app, background=True) as kernel:
        await wait_until(fleet.is_over)
    check_runs(fleet, chains, twice=set())
    assert {(job.deaths, job.attempts) for job in fleet.hand.jobs()} == {(0, 1)}


async def test_a_kill_between_looking_and_rescuing(fleet: Fleet) -> None:
    """A process that dies in the middle of a rescue has changed nothing."""
    app = application(fleet.url, fleet.ledger.path)
    async with goose.running(app) as kernel:
        await dispatched(kernel.get(Client))
        victim = fleet.start("claim.committed", "1", "SIGKILL")
        await wait_until(lambda: victim.poll() is not None)
        assert fleet.hand.lapse()
        rescuer = fleet.start("rescue.selected", "1", "SIGKILL")
        await wait_until(lambda: rescuer.poll() is not None)
        assert rescuer.returncode == -signal.SIGKILL, fleet.log.read_text()
    async with goose.running(app, background=True) as kernel:
        await wait_until(fleet.is_over)
    assert {job.status for job in fleet.hand.jobs()} == {"completed"}
    assert max(job.deaths for job in fleet.hand.jobs()) == 1


async def dispatched(queue: Client) -> tuple[list[ChainHandle], BatchHandle, list[JobHandle]]:
    chains = [
        await queue.chain(*(Step(label=f"{chain}.{link}") for link in range(LINKS))).dispatch()
        for chain in range(CHAINS)
    ]
    batch = queue.batch(Step(label="member") for _ in range(MEMBERS))
    handle = await batch.then(Step(label="then")).catch(Step(label="catch")).finally_(Step(label="finally")).dispatch()
    return chains, handle, await queue.dispatch_many(Step(label="plain") for _ in range(PLAIN))


def check_runs(fleet: Fleet, chains: list[ChainHandle], *, twice: set[str]) -> None:
    starts, ends = fleet.ledger.by_job("start"), fleet.ledger.by_job("end")
    assert {job for job, entries in starts.items() if len(entries) > 1} <= twice
    for chain in chains:
        for before, after in zip(chain.ids, chain.ids[1:], strict=False):
            assert ends[before][-1].at <= starts[after][0].at
