"""What a trial asks of its Redis server: the commands that its process sends, and what the server makes of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis import Redis


@dataclass(slots=True)
class Traffic:
    """Of one stretch of a trial; complete when its block has ended."""

    sent: int = 0
    """Commands that went over the network, each of a pipeline for itself."""
    calls: int = 0
    """The same, and those that scripts made."""
    cpu: float = 0.0
    """Seconds of the server's processor time."""


class _Sent:
    is_counting = False
    count = 0


@contextmanager
def watched(url: str) -> Iterator[Traffic]:
    """Count while the block runs; every contestant's client is redis-py, in this process."""
    traffic = Traffic()
    _count_what_is_sent()
    with Redis.from_url(url) as redis:
        before, sent = _asked(redis), _Sent.count
        yield traffic
        traffic.sent, after = _Sent.count - sent, _asked(redis)
        # Less the question by which the first figures were had.
        traffic.calls, traffic.cpu = after[0] - before[0] - 1, after[1] - before[1]


def memory(url: str) -> int:
    """Bytes that the server holds, without what it keeps for those who are connected."""
    with Redis.from_url(url) as redis:
        found: Any = redis.info("memory")
        return int(found["used_memory"] - found["mem_clients_normal"])


def _asked(redis: Redis) -> tuple[int, float]:
    found: Any = redis.info("everything")
    return int(found["total_commands_processed"]), found["used_cpu_user"] + found["used_cpu_sys"]


def _count_what_is_sent() -> None:
    """Have both kinds of connection count what they send; once in a process."""
    if _Sent.is_counting:
        return
    _Sent.is_counting = True
    for module in ("redis.connection", "redis.asyncio.connection"):
        _count(importlib.import_module(module).AbstractConnection)


def _count(kind: Any) -> None:
    send = kind.send_packed_command

    def counting(self: object, command: bytes | str | Iterable[bytes], *args: object, **options: object) -> object:
        packed = command.encode() if isinstance(command, str) else command
        packed = packed if isinstance(packed, bytes) else b"".join(packed)
        _Sent.count += _commands(packed)
        return send(self, [packed], *args, **options)

    kind.send_packed_command = counting


def _commands(packed: bytes) -> int:
    """How many there are in what is sent: each an array of strings that say how long they are."""
    count = at = 0
    while at < len(packed):
        count += 1
        end = packed.index(b"\r\n", at)
        words, at = int(packed[at + 1 : end]), end + 2
        for _ in range(words):
            end = packed.index(b"\r\n", at)
            at = end + 2 + int(packed[at + 1 : end]) + 2
    return count
