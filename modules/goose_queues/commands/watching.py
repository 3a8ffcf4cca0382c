"""``goose queue stats --watch``: looks at the counts again and again, and shows what has changed, until Ctrl-C.

A store that does not answer is said in place of what is not known, and asked again. Called by ``stats``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from goose.commands import is_terminal, say, say_json
from goose.serving import stop_signals
from goose_queues.client import Client
from goose_queues.commands.counts import as_table
from goose_queues.commands.plain import plain
from goose_queues.commands.rates import Rates, rates
from goose_queues.errors import StoreUnavailable
from goose_queues.record import QueueStats
from goose_queues.redact import one_line
from goose_queues.status import Stats


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to show after one look."""

    at: datetime
    stats: Mapping[str, QueueStats]
    """Of the latest look that was answered."""
    rates: Mapping[str, Rates] | None = None
    """Between that and the one before; None where there was none, or where this one was not answered."""
    trouble: str | None = None
    """Why this look was not answered."""


Show: TypeAlias = Callable[[Sight], None]


async def watch(client: Client, names: Sequence[str], interval: float, *, as_json: bool) -> None:
    """Show a look every ``interval`` seconds until SIGINT or SIGTERM.

    Args:
        client: The queue.
        names: Of the queues that are shown; empty: all.
        interval: Seconds from the end of one look to the next.
        as_json: One line of JSON for each look.
    """
    stopping = asyncio.Event()
    with stop_signals(stopping), _screen(interval, as_json=as_json) as show:
        async for sight in _sights(client, names, interval, stopping):
            show(sight)


async def _sights(
    client: Client, names: Sequence[str], interval: float, stopping: asyncio.Event
) -> AsyncIterator[Sight]:
    before: Mapping[str, QueueStats] = {}
    seen_at: float | None = None
    async for found in _looks(client, interval, stopping):
        now, at = time.monotonic(), datetime.now(UTC)
        if isinstance(found, str):
            yield Sight(at, before, trouble=found)
            continue
        stats = {name: found[name] for name in names or sorted(found)}
        speeds = None
        if seen_at is not None:
            seconds = now - seen_at
            speeds = {name: rates(before.get(name, QueueStats()), each, seconds) for name, each in stats.items()}
        before, seen_at = stats, now
        yield Sight(at, stats, speeds)


async def _looks(client: Client, interval: float, stopping: asyncio.Event) -> AsyncIterator[Stats | str]:
    """The counts at each look, or why they cannot be seen."""
    stop = asyncio.create_task(stopping.wait())
    while not stopping.is_set():
        asked_at = time.monotonic()
        look = asyncio.create_task(client.stats())
        while not await _one_of(look, stop, timeout=max(interval, 1.0)):
            yield f"the store has not answered for {time.monotonic() - asked_at:.0f} s"
        if not look.done():
            look.cancel()
            await asyncio.wait([look])
            break
        try:
            yield look.result()
        except StoreUnavailable as error:
            yield str(error)
        await _one_of(stop, timeout=interval)
    stop.cancel()


async def _one_of(*tasks: asyncio.Task[Any], timeout: float) -> bool:  # noqa: ASYNC109 - nothing is ended by it
    done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


@contextmanager
def _screen(interval: float, *, as_json: bool) -> Iterator[Show]:
    """Where looks are shown: in one place of a terminal, in a pipe one after the other."""
    if as_json:
        yield _say_json
    elif not is_terminal():
        yield _say
    else:
        with Live(console=Console(), auto_refresh=False) as live:
            yield lambda sight: live.update(_picture(sight, interval), refresh=True)


def _picture(sight: Sight, interval: float) -> Group:
    clock = f"{sight.at.astimezone():%H:%M:%S}"
    below = Text(f"{clock}, every {interval:g} s. Ctrl-C ends.", "dim")
    if sight.trouble is not None:
        below = Text(f"{clock}: {one_line(sight.trouble).rstrip('.')}. Ctrl-C ends.", "red")
    return Group(as_table(sight.stats, sight.at, moving=True, rates=sight.rates), below)


def _say(sight: Sight) -> None:
    if sight.trouble is not None:
        say(one_line(sight.trouble))
    else:
        for line in as_table(sight.stats, sight.at, moving=True, rates=sight.rates).lines():
            say(line)
    say()


def _say_json(sight: Sight) -> None:
    at = sight.at.isoformat()
    if sight.trouble is not None:
        say_json({"at": at, "error": one_line(sight.trouble)}, on_one_line=True)
        return
    queues = {name: {**plain(counts), **_rates(sight.rates, name)} for name, counts in sight.stats.items()}
    say_json({"at": at, "queues": queues}, on_one_line=True)


def _rates(found: Mapping[str, Rates] | None, name: str) -> dict[str, float | None]:
    rate = None if found is None else found[name]
    return {
        "in_per_second": None if rate is None else rate.came,
        "done_per_second": None if rate is None else rate.ended,
        "failed_per_second": None if rate is None else rate.failed,
    }
