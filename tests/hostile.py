"""What texts that are code in some language must not do to a queue: jobs that carry them, and look-ups by them."""

from __future__ import annotations

from typing import Any

import pytest

from goose_queues import Client, InvalidQueueName, Job, JobContext, JobNotFound


class Note(Job):
    text: str

    async def handle(self, ctx: JobContext) -> Any:
        return [self.text, ctx.meta]


async def finds_nothing(client: Client, attack: str) -> None:
    """Nothing is found by it, and nothing is done to what is there."""
    await client.dispatch(Note(text="a"))
    for lookup in (client.get_status, client.cancel, client.retry):
        with pytest.raises(JobNotFound):
            await lookup(attack)
    for steering in (client.pause, client.resume, client.purge):
        with pytest.raises(InvalidQueueName):
            await steering(attack)
    for filtered in ({"queue": attack}, {"name": attack}, {"chain": attack}, {"batch": attack}):
        assert [job async for job in client.jobs(**filtered)] == []
    assert (await client.stats())["default"].pending == 1


async def dispatch_all(client: Client, attacks: tuple[str, ...]) -> list[Any]:
    """A note of each, in its payload and in its meta, as text and as a key."""
    return [await client.dispatch(Note(text=attack)).meta(**{attack: attack}) for attack in attacks]


async def come_back_exactly(handles: list[Any], attacks: tuple[str, ...]) -> None:
    """The handlers of ``dispatch_all`` had what was dispatched."""
    for handle, attack in zip(handles, attacks, strict=True):
        assert await handle.result(timeout=30) == [attack, {attack: attack}]
