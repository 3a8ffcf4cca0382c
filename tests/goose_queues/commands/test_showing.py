"""``goose queue show``: all of a job, its chain and its batch; secrets masked, nothing that drives a terminal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from called import Said
from goose import Kernel
from goose_queues import Client, JobRecord
from goose_queues.commands import showing
from goose_queues.testing import drain


def facts(text: str) -> dict[str, str]:
    """What stands above the first blank line, by its label."""
    head, _, _ = text.partition("\n\n")
    return {line[:11].strip(): line[13:] for line in head.splitlines()}


def part(text: str, label: str) -> list[str]:
    """The lines below ``label:``."""
    [found] = [block for block in text.split("\n\n") if block.startswith(f"{label}:\n")]
    return [line.removeprefix("  ") for line in found.splitlines()[1:]]


def test_a_failed_job(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    async def fill(kernel: Kernel) -> str:
        handle = await kernel.get(Client).dispatch(main.Send(to="nobody")).priority(3).meta(api_key="k", tenant="acme")
        await drain(kernel)
        return handle.id

    job_id: str = on_queue(fill)
    shown = goose("queue", "show", job_id)
    assert (shown.code, shown.err) == (0, "")
    said = facts(shown.out)
    assert said["id"] == job_id
    assert said["status"].startswith("failed ")
    assert said["status"].endswith(" s ago")
    assert (said["attempts"], said["max retries"], said["priority"]) == ("1 (1 failure)", "0", "3")
    assert said["timeout"] == "300 s"
    assert set(said) == {
        "id", "name", "queue", "status", "attempts", "max retries", "priority", "timeout",
        "dispatched", "due", "started", "finished",
    }  # fmt: skip
    assert json.loads("\n".join(part(shown.out, "payload"))) == {"to": "nobody"}
    assert json.loads("\n".join(part(shown.out, "meta"))) == {"api_key": "***", "tenant": "acme"}
    error = part(shown.out, "error")
    assert error[:2] == ["ValueError: nobody is no address", "Traceback (most recent call last):"]
    assert any("main.py" in line for line in error)


def test_a_completed_job(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    async def fill(kernel: Kernel) -> str:
        handle = await kernel.get(Client).dispatch(main.Note(text="done", password="hunter2"))
        await drain(kernel)
        return handle.id

    shown = goose("queue", "show", on_queue(fill))
    assert part(shown.out, "result") == ['"done"']
    assert json.loads("\n".join(part(shown.out, "payload"))) == {"text": "done", "password": "***"}
    assert "hunter2" not in shown.out
    assert "error:" not in shown.out


def test_a_link(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    async def fill(kernel: Kernel) -> Any:
        client = kernel.get(Client)
        members = client.batch([main.Note(), main.Note()])
        chain = await client.chain(main.Note(), main.Send(to="nobody"), members, main.Note()).dispatch()
        await drain(kernel)
        return chain

    chain = on_queue(fill)
    first, second, *members, last = chain.ids
    shown = goose("queue", "show", second).out
    assert facts(shown)["chain"] == f"link 2 of 4 of chain {chain.id}"
    assert part(shown, "chain") == [
        f"  1  Note {first} completed",
        f"> 2  Send {second} failed",
        f"  3  2 jobs of batch {chain.links[2].id}: 2 cancelled",
        f"  4  Note {last} cancelled",
    ]
    member = goose("queue", "show", members[0]).out
    assert facts(member)["chain"] == f"link 3 of 4 of chain {chain.id}"
    assert facts(member)["batch"] == f"member of batch {chain.links[2].id}, 0 of 2 completed"
    assert facts(member)["note"]


def test_a_chain_of_very_many(
    goose: Callable[..., Said], on_queue: Any, main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all of it is fetched for one of its links."""
    monkeypatch.setattr(showing, "LINKS", 2)
    chain = on_queue(lambda kernel: kernel.get(Client).chain(*[main.Note()] * 5).dispatch())
    shown = goose("queue", "show", chain.ids[4]).out
    assert facts(shown)["chain"] == f"link 5 of chain {chain.id}"
    assert part(shown, "chain")[2:] == [f"  and more: goose queue list --chain {chain.id} --all"]


def test_a_member_and_a_callback(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    async def fill(kernel: Kernel) -> tuple[Any, str]:
        client = kernel.get(Client)
        batch = await client.batch([main.Note(), main.Note(), main.Send(to="x")]).finally_(main.Note()).dispatch()
        await drain(kernel)
        [callback] = [job.id async for job in client.jobs(name="Note") if job.id not in batch.ids]
        return batch, callback

    batch, callback = on_queue(fill)
    how_far = f"of batch {batch.id}, 2 of 3 completed, 1 failed"
    assert facts(goose("queue", "show", batch.ids[0]).out)["batch"] == f"member {how_far}"
    assert facts(goose("queue", "show", callback).out)["batch"] == f"finally_ {how_far}"


def test_why_a_job_stays_pending(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    handle = on_queue(lambda kernel: kernel.get(Client).dispatch(main.Note()).on_queue("elsewhere"))
    assert facts(goose("queue", "show", handle.id).out)["note"].startswith("no worker for queue elsewhere")


def test_json_has_the_fields_of_the_record(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    async def fill(kernel: Kernel) -> Any:
        client = kernel.get(Client)
        chain = await client.chain(main.Note(), client.batch([main.Send(to="x")])).dispatch()
        await drain(kernel)
        return chain

    chain = on_queue(fill)
    job = json.loads(goose("queue", "show", chain.ids[1], "--json").out)
    assert list(job) == [*(each.name for each in dataclasses.fields(JobRecord)), "chain", "batch"]
    assert (job["payload"], job["position"], job["batch_role"]) == ({"to": "x"}, 1, "member")
    assert (job["error"]["type"], job["error"]["message"]) == ("ValueError", "x is no address")
    assert job["error"]["traceback"].startswith("Traceback")
    assert [(link["id"], link["status"], link["position"]) for link in job["chain"]] == [
        (chain.ids[0], "completed", 0),
        (chain.ids[1], "failed", 1),
    ]
    assert (job["batch"]["total"], job["batch"]["failed"]) == (1, 1)
    alone = json.loads(goose("queue", "show", chain.ids[0], "--json").out)
    assert (alone["payload"], alone["result"], alone["batch"]) == ({"text": "note", "password": "***"}, "note", None)


@pytest.mark.parametrize("job_id", ["abc", "", "' OR 1=1 --", "../../etc/passwd", "%", "9" * 5_000, "\x1b[31m"])
def test_an_id_that_is_none(goose: Callable[..., Said], job_id: str) -> None:
    none = goose("queue", "show", "--", job_id)
    assert (none.code, none.out, none.err.count("\n")) == (1, "", 1)
    assert none.err.startswith("goose: no job has the id ")
    assert "\x1b" not in none.err
    assert len(none.err) < 200
