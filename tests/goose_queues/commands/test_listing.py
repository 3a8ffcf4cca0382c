"""``goose queue list``: what a row holds, filters, cursors, JSON, and texts that would drive a terminal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pexpect
import pytest

from called import Said
from goose import Kernel
from goose_queues import Client, JobStatus
from goose_queues.commands import listing
from goose_queues.testing import drain


@pytest.fixture
def ids(on_queue: Any, main: Any) -> dict[str, str]:
    """Of a job that failed, one that completed, one that is due and one that is due later."""

    async def fill(kernel: Kernel) -> dict[str, str]:
        client = kernel.get(Client)
        failed, done = await client.dispatch_many([main.Send(to="token=abc"), main.Send(to="a@b")])
        await drain(kernel)
        due = await client.dispatch(main.Note()).meta(password="hunter2", tenant="acme")
        later = await client.dispatch(main.Note()).delay(7200)
        return {"failed": failed.id, "done": done.id, "due": due.id, "later": later.id}

    found: dict[str, str] = on_queue(fill)
    return found


def listed(said: Said) -> list[str]:
    assert said.code == 0, said.err
    return [line.split()[0] for line in said.out.splitlines()[1:]]


def test_rows(goose: Callable[..., Said], ids: dict[str, str]) -> None:
    shown = goose("queue", "list")
    assert (shown.code, shown.err) == (0, "")
    head, due, later, failed, done = shown.out.splitlines()
    assert head.split() == ["ID", "NAME", "QUEUE", "STATUS", "ATTEMPTS", "WHEN", "NOTE"]
    assert due.split()[:7] == [ids["due"], "Note", "default", "pending", "0", "for", due.split()[6]]
    assert later.split() == [ids["later"], "Note", "default", "pending", "0", "in", "1", "h"]
    assert failed.split()[:5] == [ids["failed"], "Send", "emails", "failed", "1"]
    assert failed.split()[6:] == ["s", "ago", "ValueError:", "token=***", "is", "no", "address"]
    assert done.split()[:5] == [ids["done"], "Send", "emails", "completed", "1"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--queue", "emails"], ["failed", "done"]),
        (["--status", "pending"], ["due", "later"]),
        (["--name", "Send", "--status", "completed"], ["done"]),
        (["--chain", "none"], []),
        (["--batch", "'; DROP TABLE"], []),
    ],
)
def test_filters(goose: Callable[..., Said], ids: dict[str, str], words: list[str], found: list[str]) -> None:
    assert listed(goose("queue", "list", *words)) == [ids[word] for word in found]


def test_links_and_members(goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
    async def fill(kernel: Kernel) -> tuple[Any, Any]:
        client = kernel.get(Client)
        return (
            await client.chain(main.Note(), main.Send()).dispatch(),
            await client.batch([main.Note(), main.Send()]).dispatch(),
        )

    chain, batch = on_queue(fill)
    assert listed(goose("queue", "list", "--chain", chain.id)) == list(chain.ids)
    assert sorted(listed(goose("queue", "list", "--batch", batch.id))) == sorted(batch.ids)


def test_a_list_goes_on_where_one_ended(goose: Callable[..., Said], ids: dict[str, str]) -> None:
    """Where it goes on is said beside the rows, on stderr."""
    first = goose("queue", "list", "--limit", "3")
    assert listed(first) == [ids["due"], ids["later"], ids["failed"]]
    more, _, cursor = first.err.strip().rpartition(" ")
    assert more == "There are more: --cursor"
    last = goose("queue", "list", "--cursor", cursor)
    assert (listed(last), last.err) == ([ids["done"]], "")
    assert listed(goose("queue", "list", "--all")) == list(map(ids.get, ("due", "later", "failed", "done")))


def test_all_of_many(goose: Callable[..., Said], on_queue: Any, main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are held in memory so many at a time; each table after the first has its own head."""
    monkeypatch.setattr(listing, "TOGETHER", 20)
    on_queue(lambda kernel: kernel.get(Client).dispatch_many([main.Note()] * 60))
    lines = goose("queue", "list", "--all").out.splitlines()
    assert [number for number, line in enumerate(lines) if line.startswith("ID")] == [0, 21, 42]
    assert len({line.split()[0] for line in lines if not line.startswith("ID")}) == 60
    assert len(goose("queue", "list").out.splitlines()) == 20 + 1 + 20 + 1 + 10 + 1


def test_json_lines_have_the_fields_of_a_status(goose: Callable[..., Said], ids: dict[str, str]) -> None:
    jobs = [json.loads(line) for line in goose("queue", "list", "--json").out.splitlines()]
    assert [job["id"] for job in jobs] == [ids["due"], ids["later"], ids["failed"], ids["done"]]
    assert list(jobs[0]) == [each.name for each in dataclasses.fields(JobStatus)]
    assert jobs[0]["meta"] == {"password": "***", "tenant": "acme"}
    assert jobs[2]["error"] == "ValueError: token=*** is no address"
    assert jobs[0]["created_at"].endswith("+00:00")


def test_nothing(goose: Callable[..., Said]) -> None:
    assert listed(goose("queue", "list")) == []
    assert goose("queue", "list", "--json") == Said(0, "", "")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["--status", "done"],
            2,
            "Invalid value for '--status': 'done' is not one of 'pending', 'processing', 'completed', 'failed', 'cancelled'.",
        ),
        (["--limit", "0"], 2, "greater than or equal to 1"),
        (["--queue", "emials"], 1, "goose: no queue 'emials' (did you mean 'emails'?)"),
        (["--cursor", "x"], 1, "goose: cursor='x': use the cursor of an earlier page with the same filter"),
    ],
)
def test_refused(goose: Callable[..., Said], words: list[str], code: int, said: str) -> None:
    wrong = goose("queue", "list", *words)
    assert (wrong.code, wrong.out, wrong.err.count("\n")) == (code, "", 1)
    assert said in wrong.err


def test_a_terminal_cuts_the_note(terminal: Callable[..., pexpect.spawn[str]], on_queue: Any, main: Any) -> None:
    """A long error takes one line, as wide as the terminal is."""

    async def fill(kernel: Kernel) -> None:
        await kernel.get(Client).dispatch(main.Send(to="x" * 300))
        await drain(kernel)

    on_queue(fill)
    shown = terminal("queue", "list", columns=120)
    shown.expect(pexpect.EOF)
    [row] = [line for line in (shown.before or "").splitlines() if "ValueError" in line]
    assert "…" in row
    assert len(row) == 120
    assert "x" * 60 not in (shown.before or "")
