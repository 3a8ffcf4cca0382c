"""Ids of jobs: UUIDs of version 7, which grow with time, made where a job is dispatched."""

from __future__ import annotations

import threading
import time
from os import urandom
from typing import Final

COUNTER_BITS: Final = 74
"""What a UUIDv7 leaves beside its 48 bits of milliseconds, its version and its variant."""

_lock = threading.Lock()
_last_millisecond = 0
_counter = 0


def new_id() -> str:
    """A new UUIDv7 as text; within one process each is greater than the one before, from any thread."""
    global _last_millisecond, _counter  # noqa: PLW0603 - one sequence for the whole process
    noise = int.from_bytes(urandom(10), "big")
    millisecond = time.time_ns() // 1_000_000
    with _lock:
        if millisecond > _last_millisecond:
            _last_millisecond = millisecond
            _counter = noise >> 7  # 73 bits: the top one stays free for counting
        else:
            _counter += (noise & 0xFFFFFFFF) + 1
            if _counter >> COUNTER_BITS:
                _last_millisecond += 1
                _counter = noise >> 7
        millisecond, counter = _last_millisecond, _counter
    text = f"{millisecond << 80 | 0x7 << 76 | counter >> 62 << 64 | 0x2 << 62 | counter & 0x3FFFFFFFFFFFFFFF:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
