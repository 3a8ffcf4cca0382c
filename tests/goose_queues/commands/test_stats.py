"""``goose queue stats``: the table, what is in it for programs, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from called import Said
from goose import Kernel
from goose_queues import Client
from goose_queues.testing import drain


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_line_for_each_queue_and_their_sum(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    async def fill(kernel: Kernel) -> None:
        client = kernel.get(Client)
        await client.dispatch_many([main.Send(), main.Send(to="a@b")])
        await drain(kernel)
        await client.dispatch(main.Note()).delay(60)
        await client.pause("emails")

    on_queue(fill)
    shown = goose("queue", "stats")
    assert (shown.code, shown.err) == (0, "")
    assert cells(shown.out) == [
        ["QUEUE", "PENDING", "SCHEDULED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED", "OLDEST", "PAUSED"],
        ["default", "0", "1", "0", "0", "0", "0", "-"],
        ["emails", "0", "0", "0", "1", "1", "0", "-", "yes"],
        ["(all)", "0", "1", "0", "1", "1", "0", "-"],
    ]


def test_the_age_of_the_oldest_job_that_waits(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    on_queue(lambda kernel: kernel.get(Client).dispatch(main.Send()).at(datetime(2020, 1, 1, tzinfo=UTC)))
    days = (datetime.now(UTC) - datetime(2020, 1, 1, tzinfo=UTC)).days
    [_, emails] = goose("queue", "stats", "emails").out.splitlines()
    assert emails.split()[-2:] == [str(days), "d"]


def test_json_has_the_fields_of_the_counts(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    on_queue(lambda kernel: kernel.get(Client).dispatch(main.Send()))
    shown = json.loads(goose("queue", "stats", "--json").out)
    assert set(shown) == {"default", "emails"}
    waiting = shown["emails"].pop("oldest_pending_at")
    assert datetime.fromisoformat(waiting).utcoffset() is not None
    assert shown["emails"] == {
        "pending": 1, "scheduled": 0, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0, "paused": False,
    }  # fmt: skip
    assert shown["default"]["oldest_pending_at"] is None


def test_only_the_queues_that_were_named(goose: Callable[..., Said]) -> None:
    assert [line[0] for line in cells(goose("queue", "stats", "emails").out)] == ["QUEUE", "emails"]
    assert list(json.loads(goose("queue", "stats", "emails", "--json").out)) == ["emails"]


def test_a_misspelt_queue_is_refused_with_the_near_one(goose: Callable[..., Said]) -> None:
    assert goose("queue", "stats", "emials") == Said(1, "", "goose: no queue 'emials' (did you mean 'emails'?)\n")
    assert goose("queue", "stats", "\x1b[31m") == Said(1, "", "goose: no queue '\\x1b[31m'\n")


def test_a_queue_that_only_has_jobs_is_known(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    on_queue(lambda kernel: kernel.get(Client).dispatch(main.Note()).on_queue("elsewhere"))
    assert cells(goose("queue", "stats", "elsewhere").out)[1][:2] == ["elsewhere", "1"]


def test_wrong_usage(goose: Callable[..., Said]) -> None:
    wrong = goose("queue", "stats", "--watch", "--interval", "0")
    assert wrong.code == 2
    assert "greater than or equal to 0.1" in wrong.err
