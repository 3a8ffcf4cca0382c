from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goose_queues.context import JobContext
from goose_queues.errors import CorruptRow
from goose_queues.job import Job
from goose_queues.record import ClaimedJob

NOW = datetime(2026, 5, 17, tzinfo=UTC)


class Ping(Job):
    async def handle(self, ctx: JobContext) -> None: ...


class Told:
    """Keeps what a handler tells."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def progress(self, claimed: ClaimedJob, done: float, total: float | None, note: str) -> None:
        self.told.append((claimed.id, done, total, note))

    async def heartbeat(self, claimed: ClaimedJob) -> None:
        self.told.append(claimed.id)


def context(**facts: Any) -> JobContext:
    given: dict[str, Any] = {
        "id": "id-1",
        "name": "Ping",
        "queue": "net",
        "payload": "{}",
        "meta": None,
        "priority": 1,
        "attempt": 2,
        "failures": 1,
        "deaths": 0,
        "max_retries": 3,
        "timeout": None,
        "dispatched_at": NOW,
        "token": "token-1",
    }
    claimed = ClaimedJob(**(given | facts))
    return JobContext(
        claimed,
        Ping(),
        find=lambda key: ("found", key),
        client=lambda: "client",
        reports=Told(),
    )


def test_a_context_tells_the_facts_of_the_attempt() -> None:
    ctx = context(meta='{"tenant": "acme"}')

    assert (ctx.job, ctx.job_id, ctx.job_name, ctx.queue) == (Ping(), "id-1", "Ping", "net")
    assert (ctx.attempt, ctx.max_retries, ctx.dispatched_at) == (2, 3, NOW)
    assert ctx.meta == {"tenant": "acme"}
    assert ctx.client == "client"  # type: ignore[comparison-overlap]
    assert context().meta == {}


@pytest.mark.parametrize(
    ("meta", "fault"),
    [
        ("{", "Invalid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[1]", "Input should be an object"),
    ],
)
def test_meta_that_a_hand_has_written_is_a_corrupt_row(meta: str, fault: str) -> None:
    with pytest.raises(CorruptRow) as caught:
        _ = context(meta=meta).meta
    assert str(caught.value) == f"corrupt row: meta of Ping: {fault}"


def test_a_context_finds_services() -> None:
    assert context().get("audit_log") == ("found", "audit_log")
    assert context().get(dict) == ("found", dict)  # type: ignore[comparison-overlap]


def test_signals_are_returned_to_be_raised() -> None:
    ctx = context()

    assert ctx.retry().after is None
    assert ctx.retry(after=timedelta(minutes=1)).after == 60.0
    assert (ctx.snooze(5).delay, ctx.snooze(5).until) == (5.0, None)
    assert (ctx.snooze(NOW).delay, ctx.snooze(NOW).until) == (None, NOW)
    assert ctx.cancel("no such order").reason == "no such order"
    with pytest.raises(ValueError, match=r"^snooze\(\) needs an aware datetime: use datetime\.now\(timezone\.utc\)$"):
        ctx.snooze(datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    with pytest.raises(ValueError, match=r"^retry\(after=\) must be a non-negative timedelta or number of seconds"):
        ctx.retry(after=-1)


def test_log_records_carry_the_jobs_facts_beside_the_callers_own(caplog: pytest.LogCaptureFixture) -> None:
    ctx = context(name="Ping\r\n2027 forged")
    with caplog.at_level(logging.INFO, "goose_queues.job"):
        ctx.log.info("sent %d", 3, extra={"to": "ann", "attempt": "forged"})

    record = caplog.records[0]
    assert record.getMessage() == "sent 3"
    assert (record.job_id, record.job_name) == ("id-1", "Ping\\x0d\\x0a2027 forged")  # type: ignore[attr-defined]
    assert (record.queue, record.attempt, record.to) == ("net", 2, "ann")  # type: ignore[attr-defined]
    assert ctx.log is ctx.log
