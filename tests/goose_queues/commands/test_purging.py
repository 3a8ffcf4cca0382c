"""``goose queue purge``: says what would go, asks, and says what went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pexpect
import pytest

from called import Said
from goose import Kernel
from goose.commands import CommandError
from goose_queues import Client, StoreUnavailable
from goose_queues.commands import purging


@pytest.fixture
def filled(on_queue: Any, main: Any) -> None:
    """Three jobs of ``emails`` that are pending, one of them due later, and one of ``default``."""

    async def fill(kernel: Kernel) -> None:
        client = kernel.get(Client)
        await client.dispatch_many([main.Send(), main.Send()])
        await client.dispatch(main.Send()).delay(60)
        await client.dispatch(main.Note())

    on_queue(fill)


def pending(on_queue: Any) -> dict[str, int]:
    stats = on_queue(lambda kernel: kernel.get(Client).stats())
    return {name: counts.pending + counts.scheduled for name, counts in stats.items()}


@pytest.mark.usefixtures("filled")
class TestCommand:
    def test_yes(self, goose: Callable[..., Said], on_queue: Any) -> None:
        assert goose("queue", "purge", "emails", "--yes") == Said(0, "deleted 3 pending jobs of emails\n", "")
        assert pending(on_queue) == {"default": 1, "emails": 0}

    def test_a_count_alone(self, goose: Callable[..., Said], on_queue: Any) -> None:
        assert goose("queue", "purge", "default", "--dry-run") == Said(0, "1 pending job in default\n", "")
        assert pending(on_queue) == {"default": 1, "emails": 3}

    def test_nothing(self, goose: Callable[..., Said]) -> None:
        goose("queue", "purge", "emails", "--yes")
        assert goose("queue", "purge", "emails") == Said(0, "no pending jobs in emails\n", "")

    def test_without_a_terminal(self, goose: Callable[..., Said], on_queue: Any) -> None:
        said = goose("queue", "purge", "emails")
        assert said == Said(
            1, "", "goose: 3 pending jobs in emails. Delete them? Nobody can be asked here: say --yes\n"
        )
        assert pending(on_queue)["emails"] == 3

    @pytest.mark.parametrize(("name", "near"), [("emial", " (did you mean 'emails'?)"), ("a/b", "")])
    def test_a_queue_that_is_not_there(self, goose: Callable[..., Said], name: str, near: str) -> None:
        assert goose("queue", "purge", name, "--yes") == Said(1, "", f"goose: no queue {name!r}{near}\n")

    @pytest.mark.parametrize(("answer", "end"), [("y", "deleted 3 pending jobs of emails"), ("n", "goose: stopped")])
    def test_the_question(
        self, terminal: Callable[..., pexpect.spawn[str]], on_queue: Any, answer: str, end: str
    ) -> None:
        asked = terminal("queue", "purge", "emails")
        asked.expect_exact("3 pending jobs in emails. Delete them? [y/N]: ")
        asked.sendline(answer)
        asked.expect_exact(end)
        asked.expect(pexpect.EOF)
        asked.close()
        assert asked.exitstatus == (0 if answer == "y" else 1)
        assert pending(on_queue)["emails"] == (0 if answer == "y" else 3)


class Queue:
    """Stands where the client would: deletes two chunks, and then what the test says happens."""

    def __init__(self, then: BaseException) -> None:
        self.then = then

    async def purge(self, queue: str, *, deleted: Callable[[int], object]) -> int:
        deleted(1_000)
        deleted(500)
        raise self.then


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (asyncio.CancelledError(), "stopped: 1500 jobs deleted"),
        (
            StoreUnavailable("redis://there", "gone"),
            "the queue's store redis://there is not available: gone; 1500 jobs deleted before",
        ),
    ],
)
async def test_an_end_in_the_middle(then: BaseException, said: str) -> None:
    """Ctrl-C, or a store that goes away: what was deleted until then is said."""
    with pytest.raises(CommandError) as error:
        await purging._delete(cast("Client", Queue(then)), "emails", 10_000)
    assert str(error.value) == said
