"""The one place where tests wait: for a condition, never for a time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable

import anyio


async def wait_until(condition: Callable[[], bool | Awaitable[bool]], deadline: float = 30) -> None:
    """Return as soon as the condition holds; fail after ``deadline`` seconds."""
    end = time.monotonic() + deadline
    while True:
        held = condition()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline:g} s: {condition}")
        await anyio.sleep(0.005)
