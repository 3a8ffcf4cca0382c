"""The one place where tests wait: for a condition, never for a time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

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


def wait_until_asleep(pid: int, deadline: float = 30) -> None:
    """Return when the process's main thread waits for something, such as for what is typed.

    A question is on the screen a moment before it can be answered by a signal.
    """
    end = time.monotonic() + deadline
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        if time.monotonic() > end:
            raise TimeoutError(f"process {pid} is not asleep within {deadline:g} s")
        time.sleep(0.005)
