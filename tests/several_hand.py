"""The hand of a test in Redis on several servers: what is there is what all that take writes have together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psutil
from sqlalchemy import URL, make_url

from hand import Found, stop
from redis_hand import RedisHand
from servers.several import Several


class SeveralHand:
    """Reads and changes what is on these servers, whichever of them live."""

    def __init__(self, servers: Several) -> None:
        self.url: Final[URL] = make_url(servers.entrance)
        self._servers: Final = servers

    def jobs(self) -> list[Found]:
        with self._hands() as hands:
            return [job for hand in hands for job in hand.jobs()]

    def count(self) -> int:
        with self._hands() as hands:
            return sum(hand.count() for hand in hands)

    def is_over(self) -> bool:
        # What has left one node for another is on either of them at any time, but perhaps not yet where one looks first.
        with self._hands() as hands:
            return all(hand.is_over() for hand in (*hands, *hands))

    def lapse(self, *, worker: str | None = None, job: str | None = None) -> set[str]:
        with self._hands() as hands:
            return set().union(*(hand.lapse(worker=worker, job=job) for hand in hands))

    def rename(self, job: str, name: str) -> None:
        with self._hands() as hands:
            next(hand for hand in hands if any(found.id == job for found in hand.jobs())).rename(job, name)

    def freeze(self, process: psutil.Process) -> float:
        return stop(process)

    def close(self) -> None:
        """Nothing stays open."""

    @contextmanager
    def _hands(self) -> Iterator[list[RedisHand]]:
        hands = [RedisHand(primary.url) for primary in self._servers.primaries()]
        try:
            yield hands
        finally:
            for hand in hands:
                hand.close()
