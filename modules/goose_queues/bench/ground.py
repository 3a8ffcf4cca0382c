"""Ground: a place of a bench's own on the application's store, where nothing meets the application's queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import anyio

from goose import Module
from goose_queues.config import Settings
from goose_queues.module import DEFAULT_URL, QueuesModule
from goose_queues.stores.redis.ground import RedisGround
from goose_queues.stores.sql.file_ground import FileGround
from goose_queues.stores.sql.server_ground import ServerGround
from goose_sql import Database, SqlModule

QUEUE: Final = "bench"
"""The only queue there."""


class Ground(Protocol):
    """The place, and what the store does there by its plainest statements."""

    @property
    def url(self) -> str:
        """Where the bench's queue is; carries the password."""
        ...

    @property
    def prefix(self) -> str:
        """What the names of its tables or keys begin with."""
        ...

    @property
    def shown(self) -> str:
        """The application's own URL with its password masked."""
        ...

    async def open(self) -> None:
        """Make what is needed, and remove what benches have left behind that were killed long ago."""

    async def close(self) -> None:
        """Remove everything; also where opening it has failed."""

    async def facts(self) -> Mapping[str, str]:
        """What ``server`` this is, and the settings that say how durable a commit is."""
        ...

    async def insert(self, payloads: Sequence[str], at_once: int) -> None:
        """Store rows, so many in each commit or round trip."""

    async def settle_in(self) -> None:
        """Called when rows have been stored, before they are drained."""

    async def drain(self, at_once: int) -> int:
        """Take so many in one commit or round trip, finish them in another, until none is left; how many there were."""
        ...

    async def pass_one(self, payload: str) -> None:
        """Store one row and take it: what a job that is started at once asks of the store."""


def settings_of(modules: Iterable[Module]) -> Settings:
    """Those of the application's queue, with its database spelled out where that is the application's own."""
    found = list(modules)
    settings = next(module.settings for module in found if isinstance(module, QueuesModule))
    if settings.driver == "redis":
        return settings
    own = next((module for module in found if isinstance(module, SqlModule)), None)
    if own is not None and (settings.url is None or own.new_database().same_place(settings.url)):
        place = {name: value for name, value in own.settings if name in ("url", "pool_size", "synchronous")}
        return settings.model_copy(update=place)
    return settings.model_copy(update={"url": settings.url or DEFAULT_URL})


def ground_of(settings: Settings) -> Ground:
    """The ground on a store, not open."""
    url, prefix = settings.url or DEFAULT_URL, settings.table_prefix
    if settings.driver == "redis":
        return RedisGround(url, prefix=prefix, queue=QUEUE)
    if Database(url, pool_size=settings.pool_size).dialect == "sqlite":
        return FileGround(url, prefix=prefix, synchronous=settings.synchronous)
    return ServerGround(url, prefix=prefix, schema=settings.table_schema)


@asynccontextmanager
async def opened(ground: Ground) -> AsyncIterator[None]:
    """Within the block it is there; whatever ends the block, nothing of it is left."""
    try:
        await ground.open()
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await ground.close()
