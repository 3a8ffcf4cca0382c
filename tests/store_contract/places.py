"""The stores that the suite runs on. One entry each: how a fresh, empty place is made and how a process opens it."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import URL, make_url

from goose_queues.clock import Clock
from goose_queues.errors import StoreUnavailable
from goose_queues.store import Store
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.several import SEVERAL, several
from servers.shared import DATABASES, is_required, room


class Place(ABC):
    """Somewhere that keeps jobs; each store opened here stands for a process of its own, with one clock for all.

    Args:
        url: As an application names it.
        shown: What an error says of it.
    """

    def __init__(self, url: str | URL, shown: str) -> None:
        self.url: Final = make_url(url)
        self.shown: Final = shown
        self.clock = Clock()
        self._open = AsyncExitStack()

    async def open(self) -> Store:
        store = self.store()
        await store.open()
        self._open.push_async_callback(store.close)
        return store

    async def close(self) -> None:
        await self._open.aclose()

    @abstractmethod
    def store(self) -> Store:
        """One that is not open yet."""


class DatabasePlace(Place):
    """A database.

    Args:
        url: As an application names it.
        blocking: The driver of blocking code, where it is not the one that such a URL gets.
    """

    def __init__(self, url: str | URL, blocking: str = "") -> None:
        super().__init__(url, Database(url).url)
        self.blocking: Final = self.url.set(drivername=blocking or self.url.drivername)

    def store(self) -> Store:
        return SqlStore(Database(self.url), self.clock, owns_database=True, auto_migrate=True)


class RedisPlace(Place):
    """Redis, on one server or several."""

    def __init__(self, url: str | URL) -> None:
        # A machine that is busy with other tests may let a connection wait; how long one waits is shown elsewhere.
        patient = make_url(url).update_query_dict({"socket_connect_timeout": "20"})
        super().__init__(patient, str(patient))

    def store(self) -> Store:
        from goose_queues.stores.redis.servers import Servers
        from goose_queues.stores.redis.store import RedisStore

        return RedisStore(Servers(str(self.url)), self.clock)


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[Place]:
    place = DatabasePlace(f"sqlite:///{folder / 'queue.db'}")
    try:
        yield place
    finally:
        await place.close()


_BLOCKING: Final = {"postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def on_database(name: str) -> Callable[[Path], AbstractAsyncContextManager[Place]]:
    """A database of this process's own on a shared server, emptied."""

    @asynccontextmanager
    async def here(_: Path) -> AsyncIterator[Place]:
        there = room(name)
        there.empty()
        place = DatabasePlace(there.url, _BLOCKING[name])
        try:
            yield place
        finally:
            await place.close()

    return here


@asynccontextmanager
async def on_redis(_: Path) -> AsyncIterator[Place]:
    """What this process has of Redis, emptied."""
    there = room("redis")
    there.empty()
    place = RedisPlace(there.url)
    try:
        yield place
    finally:
        await place.close()


def on_several(name: str) -> Callable[[Path], AbstractAsyncContextManager[Place]]:
    """What this process has of such servers, emptied."""

    @asynccontextmanager
    async def here(_: Path) -> AsyncIterator[Place]:
        # One of them leads to the others.
        place = RedisPlace(several(name).entrance)
        try:
            yield place
        finally:
            await place.close()

    return here


PLACES: dict[str, Callable[[Path], AbstractAsyncContextManager[Place]]] = {
    "sqlite": on_sqlite,
    **{name: on_database(name) for name in DATABASES},
    "redis": on_redis,
}
ON_SEVERAL: Final = {name: on_several(name) for name in SEVERAL}
"""Where the short form of the suite runs as well."""
EVERYWHERE: Final = {**PLACES, **ON_SEVERAL}
ON_DATABASES: Final = ("sqlite", *DATABASES)
"""The places where jobs can be a part of the caller's own transaction."""


async def open_or_skip(place: Place, name: str) -> Store:
    """A store of this place; where its server is not at hand, the test is skipped, unless the run is to fail for it."""
    try:
        return await place.open()
    except StoreUnavailable as error:
        if is_required(name) or name in ON_SEVERAL:
            raise
        pytest.skip(f"{name} is not here: {error}")


_numbers = itertools.count()


def a_worker() -> str:
    return f"worker-{next(_numbers)}"
