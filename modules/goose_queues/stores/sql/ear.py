"""A PostgreSQL connection that hears notifications: one class for each driver that can.

Made by ``listener``, one at a time. Beside the pool, in autocommit and never in a transaction. A statement is never
cancelled: on a dead line the drivers would ask the server to cancel it, and wait for that. The line is hung up instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from goose_sql.sockets import break_off, fileno_of, keep_alive

T = TypeVar("T")

ANSWER: Final = 5.0
"""Seconds for an answer to the smallest question there is."""
CONNECT: Final = 10
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "psycopg": {"connect_timeout": CONNECT, "prepare_threshold": None},
    "asyncpg": {
        "timeout": CONNECT,
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
    },
}
"""By driver: how it connects; nothing is prepared, as a pooler may be between."""


class Ear(Protocol):
    """What ``listener`` needs of a driver. The names of channels are identifiers of this package's own making."""

    async def listen(self, channel: str) -> None:
        """Hear what is said there from now on."""
        ...

    async def unlisten(self, channel: str) -> None:
        """The end of ``listen``."""
        ...

    async def hears(self, channel: str) -> bool:
        """Whether the server knows that this connection listens."""
        ...

    async def is_direct(self) -> bool:
        """Whether the process that answers is the one that took the connection: else there is a pooler between."""
        ...

    async def heard(self, seconds: float) -> list[str]:
        """What was said, as soon as there is something, else after so many seconds nothing."""
        ...


def engine_for_ears(url: URL) -> AsyncEngine | None:
    """What ``open_ear`` takes; None where the URL's driver cannot hear."""
    options = _OPTIONS.get(url.get_driver_name().removesuffix("_async"))
    if options is None:
        return None
    # What the URL says of them is what its author wants.
    options = {name: value for name, value in options.items() if name not in url.query}
    return create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=options)


@asynccontextmanager
async def open_ear(engine: AsyncEngine) -> AsyncIterator[Ear]:
    """Connect, and hang up at the end."""
    connection = await engine.connect()
    raw: Any = None
    try:
        raw = (await connection.get_raw_connection()).driver_connection
        keep_alive(fileno_of(raw) or -1)
        yield _PsycopgEar(raw) if engine.dialect.driver.startswith("psycopg") else _AsyncpgEar(raw)
    finally:
        with suppress(Exception):
            break_off(raw)
            await connection.invalidate()
        with suppress(Exception):
            await connection.close()


class _PsycopgEar:
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def listen(self, channel: str) -> None:
        await self._ask(f"LISTEN {channel}")

    async def unlisten(self, channel: str) -> None:
        await self._ask(f"UNLISTEN {channel}")

    async def hears(self, channel: str) -> bool:
        cursor = await self._ask(_hears(channel))
        return bool(cursor.rowcount)

    async def is_direct(self) -> bool:
        cursor = await self._ask("SELECT pg_backend_pid()")
        return bool((await cursor.fetchone())[0] == self._raw.info.backend_pid)

    async def heard(self, seconds: float) -> list[str]:
        return [notice.payload async for notice in self._raw.notifies(timeout=seconds, stop_after=1)]

    async def _ask(self, statement: str) -> Any:
        return await _answered(self._raw.execute(statement), self._raw)


class _AsyncpgEar:
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._heard: list[str] = []
        self._something = asyncio.Event()
        raw.add_termination_listener(self._ended)

    async def listen(self, channel: str) -> None:
        await _answered(self._raw.add_listener(channel, self._hear), self._raw)

    async def unlisten(self, channel: str) -> None:
        await _answered(self._raw.remove_listener(channel, self._hear), self._raw)

    async def hears(self, channel: str) -> bool:
        # As a simple query, which needs no prepared statement: the answer is a count.
        return bool(await _answered(self._raw.execute(_hears(channel)), self._raw) == "SELECT 1")

    async def is_direct(self) -> bool:
        mine = f"SELECT 1 WHERE pg_backend_pid() = {int(self._raw.get_server_pid())}"
        return bool(await _answered(self._raw.execute(mine), self._raw) == "SELECT 1")

    async def heard(self, seconds: float) -> list[str]:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._something.wait()
        if self._raw.is_closed():
            raise ConnectionError("the server closed the connection")
        self._something.clear()
        heard, self._heard = self._heard, []
        return heard

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self._heard.append(payload)
        self._something.set()

    def _ended(self, _connection: Any) -> None:
        self._something.set()


def _hears(channel: str) -> str:
    return f"SELECT 1 FROM pg_listening_channels() AS channel WHERE channel = '{channel}'"  # noqa: S608 - a hash


async def _answered(question: Awaitable[T], raw: Any) -> T:
    """The answer, or the error of a line that was hung up as none came, or as nobody waits for it any more."""
    asking = asyncio.ensure_future(question)
    try:
        await asyncio.wait((asking,), timeout=ANSWER)
    finally:
        if not asking.done():
            break_off(raw)
            await asyncio.wait((asking,))
    return asking.result()
