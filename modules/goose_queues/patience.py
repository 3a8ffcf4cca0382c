"""Patience: a store that does not answer is asked again until it does. Used by ``worker`` and ``settler``."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from goose_queues.errors import StoreUnavailable

T = TypeVar("T")

RETRY_FIRST: Final = 0.1
RETRY_LAST: Final = 10.0
"""Seconds before the store is asked again: doubling from the first to the last, with jitter."""


async def until_answered(ask: Callable[[], Awaitable[T]], complain: Callable[[StoreUnavailable], None]) -> T:
    """The store's answer, however often it has to be asked; each time in vain is told to ``complain``."""
    wait = RETRY_FIRST
    while True:
        try:
            return await ask()
        except StoreUnavailable as error:
            complain(error)
        await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
        wait = min(wait * 2, RETRY_LAST)
