"""Ear: a connection that hears what is published, until it breaks or is silent for too long. Used by ``servers``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from redis.exceptions import RedisError

from goose_queues.errors import StoreUnavailable
from goose_queues.stores.redis.address import Address, Node
from goose_queues.stores.redis.line import Line, open_line, said
from goose_queues.stores.redis.refusal import Refusal

_SILENCE: Final = 10.0
"""Seconds without a word, after which the server is asked whether it is there, and again those until it is given up."""


async def hear(
    address: Address,
    node: Node,
    pattern: str,
    *,
    tell: Callable[[str, str], None],
    ready: Callable[[], None],
    silence: float = _SILENCE,
) -> None:
    """Tell of each message: its channel, and what it says. Never returns.

    Args:
        address: The URL's.
        node: Where to listen.
        pattern: Of channels, as PSUBSCRIBE takes it.
        tell: Called with a message, and must not raise.
        ready: Called once everything published from now on is heard.
        silence: In seconds.

    Raises:
        StoreUnavailable: The connection could not be made, or is no good any more.
    """
    line = await open_line(address, node)
    asking = asyncio.ensure_future(_ask(line, silence))
    try:
        async with asyncio.timeout(None) as limit:
            await line.send("PSUBSCRIBE", pattern)
            while True:
                limit.reschedule(asyncio.get_running_loop().time() + 2 * silence)
                match await line.read():
                    case ["pmessage", _, channel, message]:
                        tell(channel, message)
                    case ["psubscribe", *_]:
                        ready()
                    case Refusal() as refusal:
                        raise refusal.error(address.text)
    except TimeoutError as error:
        raise StoreUnavailable(address.text, f"{node} did not answer within {silence:g} s.") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(address.text, said(address, node, error)) from error
    finally:
        asking.cancel()
        await line.cut()


async def _ask(line: Line, silence: float) -> None:
    """Have the server say something now and then: of a connection that leads nowhere nobody is told."""
    # Whoever reads meets the same fault.
    with suppress(StoreUnavailable):
        while True:
            await asyncio.sleep(silence)
            await line.send("PING")
