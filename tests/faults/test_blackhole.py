"""A worker whose line to the server swallows everything for two leases: others have its jobs, and it comes back."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import URL

import goose
from checker import Dispatched, check
from faults.application import Step, application
from fleet import Fleet
from goose_queues import Client
from servers.proxy import TcpProxy
from servers.shared import SERVERS
from soak import size
from waiting import wait_until

LEASE = size(2.5, 10.0)
HELD, RETURNING = 4, 2
SLOTS = HELD + RETURNING


@pytest.mark.parametrize("url", SERVERS, indirect=True)
@pytest.mark.parametrize("acknowledge", [False, True], ids=["cut", "frozen"])
async def test_blackhole(fleet: Fleet, url: URL, acknowledge: bool) -> None:
    """Its jobs run elsewhere and end there, its late results are refused, and it claims again within 10 s."""
    fleet.lease = LEASE
    lease = {"SHORT_LEASE": str(LEASE)}
    with TcpProxy(url) as proxy:
        async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
            queue = kernel.get(Client)
            line = proxy.url.render_as_string(hide_password=False)
            lonely = fleet.start("worker", workers=SLOTS, DATABASE_URL=line, **lease)
            held = await queue.dispatch_many(Step(gate=gate(fleet, "held")) for _ in range(HELD))
            late = await queue.dispatch_many(Step(gate=gate(fleet, "late")) for _ in range(RETURNING))
            ids = {job.id for job in (*held, *late)}
            await wait_until(lambda: fleet.running(lonely) == SLOTS)
            with fleet.cut_off(lonely):
                proxy.blackhole(acknowledge=acknowledge)
                open_gate(fleet, "late", 1)
                other = fleet.start("worker", workers=SLOTS, **lease)
                await wait_until(lambda: started(fleet, other.pid) == ids, deadline=4 * LEASE + 30)
                open_gate(fleet, "held", 2)
                open_gate(fleet, "late", 2)
                await wait_until(fleet.is_over)
                # To the end of the second lease, when nothing of what it had can be good any more.
                second = fleet.faults[0].at + 2 * LEASE
                await wait_until(lambda: time.time() >= second, deadline=3 * LEASE)
                before = fleet.endings()
                proxy.pass_through()
            await wait_until(
                lambda: all(f"the lease of job {job.id} was lost" in fleet.log.read_text() for job in late)
            )
            fleet.kill(other)
            more = await queue.dispatch_many(Step() for _ in range(SLOTS))
            await wait_until(lambda: started(fleet, lonely.pid) >= {job.id for job in more}, deadline=10)
            await wait_until(fleet.is_over)
    assert {job: ending for job, ending in fleet.endings().items() if job in ids} == before
    assert {before[job].attempts for job in ids} == {2}
    history = fleet.history(dict.fromkeys((*ids, *(job.id for job in more)), Dispatched()))
    assert check(history) == []
    ends = fleet.ledger.by_job("end")
    first = {job: next(entry.outcome for entry in ends[job] if entry.pid == lonely.pid) for job in ids}
    assert first == {**{job.id: "interrupted" for job in held}, **{job.id: "returned" for job in late}}


def started(fleet: Fleet, pid: int) -> set[str]:
    return {entry.job for entry in fleet.ledger.read() if entry.event == "start" and entry.pid == pid}


def gate(fleet: Fleet, name: str) -> str:
    return str(fleet.folder / name)


def open_gate(fleet: Fleet, name: str, attempt: int) -> None:
    (fleet.folder / f"{name}.{attempt}").touch()
