"""``goose queue pause`` and ``resume``: of one queue or several, and none of them where one is misspelt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from called import Said
from goose_queues import Client


def paused(on_queue: Any) -> set[str]:
    stats = on_queue(lambda kernel: kernel.get(Client).stats())
    return {name for name, counts in stats.items() if counts.paused}


def test_pause_and_resume(goose: Callable[..., Said], on_queue: Any) -> None:
    assert goose("queue", "pause", "emails", "default") == Said(0, "paused emails\npaused default\n", "")
    assert paused(on_queue) == {"emails", "default"}
    assert goose("queue", "pause", "emails") == Said(0, "paused emails\n", "")
    assert goose("queue", "resume", "emails") == Said(0, "resumed emails\n", "")
    assert paused(on_queue) == {"default"}
    assert goose("queue", "resume", "emails").code == 0


def test_a_misspelt_one(goose: Callable[..., Said], on_queue: Any) -> None:
    """Nothing is done to the others."""
    said = goose("queue", "pause", "default", "emials")
    assert said == Said(1, "", "goose: no queue 'emials' (did you mean 'emails'?)\n")
    assert paused(on_queue) == set()


def test_no_queue(goose: Callable[..., Said]) -> None:
    for command in ("pause", "resume", "purge"):
        said = goose("queue", command)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert "Missing argument 'QUEUE" in said.err
