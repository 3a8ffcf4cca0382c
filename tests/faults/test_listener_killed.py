"""The connection on which a worker listens for new jobs breaks: it is made anew, and nobody waits for the next poll."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import URL

import goose
from checker import check
from faults.application import Step, application
from fleet import Fleet
from goose_queues import Client
from servers.shared import connect, driver_of
from soak import size
from waiting import wait_until

KILLS = size(5, 50)
FOREVER = "3600"
"""Seconds between two looks that nobody asked for."""
KILL = (
    # Found first, then killed: of conditions side by side the server may ask the last for everybody's connections.
    "WITH listener AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND state = 'idle' AND query ~* '^(listen|unlisten|select 1 from pg_listening)') "
    "SELECT pid FROM listener WHERE pg_terminate_backend(pid)"
)


@pytest.mark.parametrize("url", ["postgres", "redis"], indirect=True)
async def test_jobs_start_all_the_same(fleet: Fleet, url: URL) -> None:
    """After each kill a job that another process dispatches starts within seconds, although polling is an hour away."""
    worker = fleet.start("worker", workers=4, GOOSE_QUEUES_POLL_INTERVAL=FOREVER)
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        queue = kernel.get(Client)
        first = await queue.dispatch(Step())
        await wait_until(lambda: first.id in fleet.ledger.by_job("end"))
        killed: set[int] = set()
        for _ in range(KILLS):
            await wait_until(lambda: kill_listeners(url, killed))
            job = await queue.dispatch(Step())
            await wait_until(lambda job=job: job.id in fleet.ledger.by_job("start"), deadline=10)
        await wait_until(fleet.is_over)
    print(f"{len(killed)} listeners killed")
    assert len(killed) >= KILLS
    assert worker.poll() is None
    assert check(fleet.history()) == []
    assert "Traceback" not in fleet.log.read_text()


def kill_listeners(url: URL, killed: set[int]) -> bool:
    """End every connection that listens now; whether there was one that had not been killed before."""
    with closing(connect(url)) as connection:
        hit = (killed_on_postgres if driver_of(url) == "sql" else killed_on_redis)(connection) - killed
    killed |= hit
    return bool(hit)


def killed_on_postgres(connection: Any) -> set[int]:
    with connection.cursor() as cursor:
        return {pid for (pid,) in cursor.execute(KILL).fetchall()}


def killed_on_redis(client: Any) -> set[int]:
    listening = {int(each["id"]) for each in client.client_list(_type="pubsub")}
    return {number for number in listening if client.client_kill_filter(_id=str(number))}
