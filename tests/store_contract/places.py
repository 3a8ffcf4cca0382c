"""The stores that the suite runs on. One entry each: how a fresh, empty place is made and how a process opens it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from goose_queues.clock import Clock
from goose_queues.errors import StoreUnavailable
from goose_queues.store import Store
from goose_queues.stores.sql.store import SqlStore
from goose_sql import Database
from servers.shared import SERVERS, is_required, room


class Place:
    """Somewhere that keeps jobs; each store opened here stands for a process of its own, with one clock for all."""

    def __init__(self, make: Callable[[Clock], Store]) -> None:
        self.clock = Clock()
        self._make = make
        self._open = AsyncExitStack()

    async def open(self) -> Store:
        store = self._make(self.clock)
        await store.open()
        self._open.push_async_callback(store.close)
        return store

    async def close(self) -> None:
        await self._open.aclose()


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[Place]:
    url = f"sqlite:///{folder / 'queue.db'}"
    place = Place(lambda clock: SqlStore(Database(url), clock, owns_database=True, auto_migrate=True))
    try:
        yield place
    finally:
        await place.close()


def on_server(name: str) -> Callable[[Path], AbstractAsyncContextManager[Place]]:
    """A database of this process's own on a shared server, emptied."""

    @asynccontextmanager
    async def here(_: Path) -> AsyncIterator[Place]:
        there = room(name)
        there.empty()
        place = Place(lambda clock: SqlStore(Database(there.url), clock, owns_database=True, auto_migrate=True))
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
