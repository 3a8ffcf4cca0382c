"""``goose queue retry`` and ``cancel`` of named jobs, and what is wrong usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from called import Said
from goose import Kernel
from goose_queues import Client, JobStatus
from goose_queues.record import Claim
from goose_queues.testing import drain


@pytest.fixture
def failed(on_queue: Any, main: Any) -> list[str]:
    async def fill(kernel: Kernel) -> list[str]:
        handles = await kernel.get(Client).dispatch_many([main.Send(), main.Send()])
        await drain(kernel)
        return [handle.id for handle in handles]

    ids: list[str] = on_queue(fill)
    return ids


def status(on_queue: Any, job_id: str) -> JobStatus:
    found: JobStatus = on_queue(lambda kernel: kernel.get(Client).get_status(job_id))
    return found


def test_retried(goose: Callable[..., Said], on_queue: Any, failed: list[str]) -> None:
    said = goose("queue", "retry", *failed, failed[0])
    assert said == Said(0, "".join(f"{job_id}: retried\n" for job_id in failed), "")
    assert [status(on_queue, job_id).status for job_id in failed] == ["pending"] * 2


def test_each_outcome_on_a_line(goose: Callable[..., Said], on_queue: Any, failed: list[str]) -> None:
    """What can be done is done, what cannot is said, and the exit code tells of it."""
    one, other = failed
    goose("queue", "retry", one)
    said = goose("queue", "retry", one, "\x1b[31m", other)
    assert said.code == 1
    assert said.out.splitlines() == [
        f"job {one} is pending: only a failed or cancelled job can be retried",
        "\\x1b[31m: no such job",
        f"{other}: retried",
    ]
    assert said.err == "goose: 2 of 3 jobs could not be retried\n"
    assert status(on_queue, other).status == "pending"


def test_one_that_cannot_be(goose: Callable[..., Said], failed: list[str]) -> None:
    said = goose("queue", "cancel", failed[0])
    reason = f"goose: job {failed[0]} is failed: only a job that is pending or runs can be cancelled\n"
    assert said == Said(1, "", reason)
    assert goose("queue", "retry", "no-id") == Said(1, "", "goose: no-id: no such job\n")


def test_cancelled(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    handle = on_queue(lambda kernel: kernel.get(Client).dispatch(main.Note()))
    said = goose("queue", "cancel", handle.id, "--reason", "not\nwanted")
    assert said == Said(0, f"{handle.id}: cancelled\n", "")
    assert (status(on_queue, handle.id).status, status(on_queue, handle.id).note) == ("cancelled", "not\\x0awanted")


def test_told_to_end(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    """A job that runs is not cancelled yet."""

    async def claim(kernel: Kernel) -> str:
        handle = await kernel.get(Client).dispatch(main.Note())
        await kernel.get(Client)._store.claim(Claim("default", frozenset(["Note"]), 1, 600, "somebody"))
        return handle.id

    job_id = on_queue(claim)
    assert goose("queue", "cancel", job_id) == Said(0, f"{job_id}: told to end\n", "")
    assert status(on_queue, job_id).cancel_requested


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "such as --queue emails"),
        (["--yes"], "such as --queue emails"),
        (["an-id", "--queue", "emails"], "not both"),
        (["--status", "completed"], "is not one of"),
    ],
)
@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_wrong_usage(goose: Callable[..., Said], command: str, words: list[str], said: str) -> None:
    wrong = goose("queue", command, *words)
    assert (wrong.code, wrong.out, wrong.err.count("\n")) == (2, "", 1)
    assert said in wrong.err
