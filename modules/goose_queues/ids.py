"""Ids of jobs: UUIDs of version 7, which grow with time, made where a job is dispatched."""

from __future__ import annotations

import threading
import time
from os import urandom
from typing import Final

COUNTER_BITS: Final = 62
"""What stands behind the variant; 12 more random bits stand before it."""

_lock = threading.Lock()
_last_millisecond = 0
_prefix = 0
_counter = 0


def new_id() -> str:
    """A new UUIDv7 as text; within one process each is greater than the one before, from any thread."""
    global _last_millisecond, _prefix, _counter  # noqa: PLW0603 - one sequence for the whole process
    noise = int.from_bytes(urandom(9), "big")
    millisecond = time.time_ns() // 1_000_000
    with _lock:
        if millisecond <= _last_millisecond:
            _counter += (noise & 0xFFFFFFFF) + 1
        if millisecond > _last_millisecond or _counter >> COUNTER_BITS:
            _last_millisecond = max(millisecond, _last_millisecond + 1)
            # The counter's top bit stays free for counting.
            _prefix, _counter = noise & 0xFFF, noise >> 12 & 0xFFFFFFFFFFFFFFF
        millisecond, prefix, counter = _last_millisecond, _prefix, _counter
    variant = 0x8000 | counter >> 48
    return f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7{prefix:03x}-{variant:04x}-{counter & 0xFFFFFFFFFFFF:012x}"
