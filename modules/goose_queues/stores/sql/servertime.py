"""The store's time: what the database's server says, without asking it for every statement.

The server is asked now and then, and this process's monotonic clock tells how long ago that was: neither the time of day
here nor a change of it matters. An answer is taken as if it had been given at the latest possible moment, so that this
time is never ahead of the server's own: nothing runs early. SQLite has no server; its clock is this machine's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from goose_queues.clock import Clock
from goose_queues.stores.moment import stored
from goose_queues.stores.sql.statement import Layout
from goose_sql import Database
from goose_sql.errors import DatabaseClosed, DatabaseUnavailable

log = logging.getLogger("goose_queues.store")

ASKED: Final = 10.0
"""Seconds between two looks at the server's clock."""
EXACT: Final = 0.05
"""Seconds within which an answer is good at once; one that took longer may be as old as that."""
TRIES: Final = 5
"""Questions in a row until the best answer has to do."""
DRIFT: Final = 0.0001
"""How much two clocks may differ in speed."""

_NOW: Final = {
    # now() would be when the transaction began.
    "postgresql": text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"),
    "mysql": text("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"),
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server said, and when it was heard here."""

    server: int
    heard: float
    """By ``time.monotonic()``."""
    took: float
    """Seconds from the question to the answer: by so much the server may be ahead."""

    def at(self, moment: float) -> int:
        return self.server + int((moment - self.heard) * 1_000_000)

    def doubt(self, moment: float) -> float:
        return self.took + (moment - self.heard) * DRIFT


class ServerTime:
    """The time for a store's statements, in microseconds since 1970.

    Args:
        database: Whose time it is.
        layout: Tells what kind of database that is.
        clock: Its offset is added; only tests move it.
    """

    def __init__(self, database: Database, layout: Layout, clock: Clock) -> None:
        self._database = database
        self._question = _NOW.get(layout.family)
        self._clock = clock
        self._answer: _Answer | None = None
        self._asking: asyncio.Task[None] | None = None

    def now(self) -> int:
        """The time of a statement that is about to be run."""
        answer = self._answer
        if answer is None:
            return stored(self._clock.now())
        return answer.at(time.monotonic()) + int(self._clock.offset * 1_000_000)

    async def open(self) -> None:
        """Ask for the first time, and from here on at intervals."""
        if self._question is not None:
            await self.ask()
            self._asking = asyncio.get_running_loop().create_task(self._ask_on(), name="goose-server-time")

    async def close(self) -> None:
        """Ask no more."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.wait((asking,))
        self._answer = None

    async def ask(self) -> None:
        """Ask until an answer comes quickly; keep the older one where it tells more, and the server's clock was not set."""
        answers = [await self._database.read(self._ask, single=True)]
        while answers[-1].took > EXACT and len(answers) < TRIES:
            answers.append(await self._database.read(self._ask, single=True))
        best, known = min(answers, key=lambda answer: answer.took), self._answer
        if known is None or known.doubt(best.heard) > best.took or not _agree(known, best):
            self._answer = best

    def _ask(self, connection: Connection) -> _Answer:
        began = time.monotonic()
        server = connection.scalar(self._question) if self._question is not None else 0
        heard = time.monotonic()
        return _Answer(int(server or 0), heard, heard - began)

    async def _ask_on(self) -> None:
        while True:
            await asyncio.sleep(ASKED)
            try:
                await self.ask()
            except (DatabaseUnavailable, DatabaseClosed):
                # What was heard goes on until there is somebody to ask.
                continue
            except Exception:
                log.exception("the server's clock could not be read")


def _agree(known: _Answer, new: _Answer) -> bool:
    """Whether the server's clock has gone on as it was heard before."""
    slack = (known.doubt(new.heard) + new.took) * 1_000_000 + 1_000
    return abs(known.at(new.heard) - new.server) <= slack
