"""The stores that the suite runs on. One entry each: how a fresh, empty place is made and how a process opens it."""

from __future__ import annotations

import itertools
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
from servers.shared import SERVERS, is_required, room


class Place:
    """Somewhere that keeps jobs; each store opened here stands for a process of its own, with one clock for all.

    Args:
        url: As an application names it.
        blocking: The driver of blocking code, where it is not the one that such a URL gets.
    """

    def __init__(self, url: str | URL, blocking: str = "") -> None:
        self.url: Final = make_url(url)
        self.blocking: Final = self.url.set(drivername=blocking or self.url.drivername)
        self.shown: Final = Database(url).url
        """What an error says of it."""
        self.clock = Clock()
        self._open = AsyncExitStack()

    async def open(self) -> Store:
        store = SqlStore(Database(self.url), self.clock, owns_database=True, auto_migrate=True)
        await store.open()
        self._open.push_async_callback(store.close)
        return store

    async def close(self) -> None:
        await self._open.aclose()


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[Place]:
    place = Place(f"sqlite:///{folder / 'queue.db'}")
    try:
        yield place
    finally:
        await place.close()


_BLOCKING: Final = {"postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def on_server(name: str) -> Callable[[Path], AbstractAsyncContextManager[Place]]:
    """A database of this process's own on a shared server, emptied."""

    @asynccontextmanager
    async def here(_: Path) -> AsyncIterator[Place]:
        there = room(name)
        there.empty()
        place = Place(there.url, _BLOCKING[name])
        try:
            yield place
        finally:
            await place.close()

    return here


PLACES: dict[str, Callable[[Path], AbstractAsyncContextManager[Place]]] = {
    "sqlite": on_sqlite,
    **{name: on_server(name) for name in SERVERS},
}


async def open_or_skip(place: Place, name: str) -> Store:
    """A store of this place; where its server is not at hand, the test is skipped, unless the run is to fail for it."""
    try:
        return await place.open()
    except StoreUnavailable as error:
        if is_required(name):
            raise
        pytest.skip(f"{name} is not here: {error}")


_numbers = itertools.count()


def a_worker() -> str:
    return f"worker-{next(_numbers)}"
