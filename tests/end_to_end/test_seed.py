"""The seed document's sections, each over HTTP against a real server process with its workers."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import URL

from fleet import Fleet
from servers.shared import room
from waiting import wait_until

FINAL = {"completed", "failed", "cancelled"}


@pytest.fixture(params=["sqlite", "redis"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, Path(__file__).with_name("seed_app.py"), url=emptied(request.param))
    yield fleet
    fleet.end()


def emptied(store: str) -> URL | None:
    """Where the jobs are; None: in a file."""
    if store == "sqlite":
        return None
    there = room(store)
    there.empty()
    return there.url


@pytest.fixture
async def http(fleet: Fleet) -> AsyncIterator[httpx2.AsyncClient]:
    async with fleet.serve() as http:
        yield http


async def status(http: httpx2.AsyncClient, job_id: str) -> Any:
    answer = await http.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def finished(
    http: httpx2.AsyncClient, job_id: str, until: Callable[[Any], bool] = lambda job: job["status"] in FINAL
) -> Any:
    found: list[Any] = []

    async def look() -> bool:
        found[:] = [await status(http, job_id)]
        return until(found[0])

    await wait_until(look)
    return found[0]


async def post(http: httpx2.AsyncClient, path: str, **params: Any) -> Any:
    answer = await http.post(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json() if answer.headers["content-type"].startswith("application/json") else answer.text


async def test_quick_start_and_job_with_dependencies(http: httpx2.AsyncClient, fleet: Fleet) -> None:
    """An order is taken over HTTP, and its job runs with a service that it gets from the context by name."""
    answer = await http.post("/orders", json={"item": "egg"})
    assert answer.status_code == 201
    job = await finished(http, answer.json()["job_id"])
    assert (job["status"], job["attempts"], job["queue"]) == ("completed", 1, "orders")
    assert [entry.note for entry in fleet.ledger.read()] == ["order egg"]


async def test_defining_and_dispatching_jobs(http: httpx2.AsyncClient) -> None:
    """A basic job goes to its class's queue, or to the one that the dispatch names, and returns a result."""
    job = await finished(http, await post(http, "/emails"))
    assert (job["status"], job["queue"], job["result"]) == ("completed", "emails", "email")
    elsewhere = await status(http, await post(http, "/emails", queue="bulk"))
    assert (elsewhere["status"], elsewhere["queue"]) == ("pending", "bulk")


async def test_dispatch_with_delay_and_at(http: httpx2.AsyncClient, fleet: Fleet) -> None:
    """A job with a delay, and one for a time, are pending until then and never start early."""
    delayed = await post(http, "/reminders", delay=0.5)
    timed = await post(http, "/reports", delay=0.5)
    far = await post(http, "/reminders", delay=3600)
    jobs = [await finished(http, delayed), await finished(http, timed["id"])]
    starts = {entry.job: entry.at for entry in fleet.ledger.read()}
    assert starts[delayed] >= datetime.fromisoformat(jobs[0]["created_at"]).timestamp() + 0.5
    assert starts[timed["id"]] >= timed["due"]
    assert (await status(http, far))["status"] == "pending"


async def test_retries(http: httpx2.AsyncClient, fleet: Fleet) -> None:
    """A job that fails twice is tried again after its delay, and completes at the third attempt."""
    job_id = await post(http, "/payments/2")
    job = await finished(http, job_id)
    assert (job["status"], job["attempts"]) == ("completed", 3)
    starts = [entry.at for entry in fleet.ledger.by_job("start")[job_id]]
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(starts))


async def test_error_handling(http: httpx2.AsyncClient, fleet: Fleet) -> None:
    """When all retries are used the job is failed and kept with its error, and on_failure has run once."""
    job_id = await post(http, "/payments/9")
    job = await finished(http, job_id)
    assert (job["status"], job["attempts"]) == ("failed", 4)
    assert "NetworkError: attempt 4" in job["error"]
    assert [entry.note for entry in fleet.ledger.by_job("end")[job_id]] == ["gave up: attempt 4"]


@pytest.mark.parametrize(("kind", "attempts"), [("valid", 4), ("invalid", 1)])
async def test_conditional_retry(http: httpx2.AsyncClient, kind: str, attempts: int) -> None:
    """should_retry decides by the error whether another attempt is made."""
    job = await finished(http, await post(http, f"/calls/{kind}"))
    assert (job["status"], job["attempts"]) == ("failed", attempts)


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_timeout(http: httpx2.AsyncClient, kind: str) -> None:
    """A job over its time fails, async or in a thread, and others go on."""
    job_id = await post(http, f"/exports/{kind}")
    other = await finished(http, await post(http, "/emails"))
    assert other["status"] == "completed"
    job = await finished(http, job_id)
    assert job["status"] == "failed"
    assert "JobTimeout" in job["error"]


async def test_priority(http: httpx2.AsyncClient, fleet: Fleet) -> None:
    """Of what waits in a queue, higher priority runs first, and within one what was dispatched first."""
    ids = await post(http, "/notifications")
    await finished(http, ids[0], lambda job: job["status"] == "processing")
    fleet.ledger.path.with_name("gate").touch()
    for job_id in ids:
        await finished(http, job_id)
    expected = [f"{kind} {n}" for kind in ("urgent", "regular") for n in range(3)]
    assert [entry.note for entry in fleet.ledger.read()] == expected


async def test_register_job_handlers(http: httpx2.AsyncClient) -> None:
    """A job that no module declares is refused where it is dispatched, and nothing is stored."""
    assert (await http.post("/undeclared")).status_code == 500
    assert (await http.get("/queues")).json()["default"]["pending"] == 0


async def test_job_status(http: httpx2.AsyncClient) -> None:
    """The status has what the document names; an unknown id is 404 and no more."""
    job = await finished(http, await post(http, "/emails"))
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    for unknown in ("abc", "1' OR '1'='1", "0" * 300):
        answer = await http.get(f"/jobs/{unknown}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_queue_statistics(http: httpx2.AsyncClient) -> None:
    """Counts by queue; a queue without rows reads as zeros."""
    await finished(http, await post(http, "/emails"))
    await finished(http, await post(http, "/calls/invalid"))
    await post(http, "/emails", queue="bulk")
    counts = (await http.get("/queues")).json()
    assert counts["emails"] == {"pending": 0, "processing": 0, "completed": 1, "failed": 0}
    assert counts["default"] == {"pending": 0, "processing": 0, "completed": 0, "failed": 1}
    assert counts["bulk"] == {"pending": 1, "processing": 0, "completed": 0, "failed": 0}
    assert counts["notifications"] == {"pending": 0, "processing": 0, "completed": 0, "failed": 0}


async def test_configuration_from_the_environment(fleet: Fleet) -> None:
    """Options come from the environment too: retries, their delay, and how long finished jobs are kept."""
    options = {
        "GOOSE_QUEUES_DEFAULT_RETRY_LIMIT": "1",
        "GOOSE_QUEUES_DEFAULT_RETRY_DELAY": "0.1",
        "GOOSE_QUEUES_RETENTION_PERIOD": "0.1",
        "GOOSE_QUEUES_CLEANUP_INTERVAL": "0.1",
    }
    async with fleet.serve(**options) as http:
        job_id = await post(http, "/defaults")

        async def pruned() -> bool:
            return (await http.get(f"/jobs/{job_id}")).status_code == 404

        await wait_until(pruned)
    assert [entry.attempt for entry in fleet.ledger.by_job("start")[job_id]] == [1, 2]


async def test_configuration_for_redis(tmp_path: Path) -> None:
    """driver="redis" with its queues and their workers: served over HTTP, and run beside it, with one URL changed."""
    fleet = Fleet(tmp_path, Path(__file__).with_name("seed_redis_app.py"), url=emptied("redis"))
    try:
        async with fleet.serve() as http:
            ids = {queue: await post(http, f"/jobs/{queue}") for queue in ("default", "emails", "exports", "others")}
            for queue in ("default", "emails", "exports"):
                assert (await finished(http, ids[queue])) == {"status": "completed", "result": queue}
            assert (await status(http, ids["others"]))["status"] == "pending"
    finally:
        fleet.end()
    assert set(fleet.ledger.by_job("start")) == {ids[queue] for queue in ("default", "emails", "exports")}


def test_configuration_that_is_wrong(fleet: Fleet) -> None:
    """A wrong option ends the process with a message that names it."""
    process = fleet.start("worker", GOOSE_QUEUES_DEFAULT_RETRY_LIMIT="-1")
    try:
        assert process.wait(60) != 0
    except subprocess.TimeoutExpired:
        pytest.fail(fleet.log.read_text())
    assert "default_retry_limit" in fleet.log.read_text()
