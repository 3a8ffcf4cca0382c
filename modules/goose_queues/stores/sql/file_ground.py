"""Where ``goose queue bench`` measures a SQLite file: in a folder of its own beside it, on the same disk.

In the file itself it would leave an application's database larger than it was, and wait for the application's own writes.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import URL

from goose_queues.errors import BenchRefused
from goose_queues.stores.mark import MARK, is_left_behind, new_mark
from goose_queues.stores.sql import raw_file
from goose_sql.sqlite import Synchronous
from goose_sql.urls import address_of

T = TypeVar("T")


class FileGround:
    """A folder that is made when it is opened, and deleted when it is closed.

    Args:
        url: Of the application's queue; a private file's is in the folder for temporary files.
        prefix: What the names of the tables begin with.
        synchronous: As for the application's queue.
    """

    def __init__(self, url: str, *, prefix: str, synchronous: Synchronous) -> None:
        address = address_of(url)
        self.shown: Final = str(address)
        self.prefix: Final = prefix
        self._synchronous: Final = synchronous
        file = address.file or Path(tempfile.gettempdir()) / "goose"
        self._stem: Final = f"{file.name}-bench-"
        self._folder: Final = file.parent / f"{self._stem}{new_mark()}"
        self._thread: Final = ThreadPoolExecutor(1, "goose-bench")
        """The connection is used in one thread, so that it is closed only when nothing works with it any more."""
        self._connection: sqlite3.Connection | None = None

    @property
    def url(self) -> str:
        """Where the bench's queue is."""
        return URL.create("sqlite", database=str(self._folder / "queue.db")).render_as_string()

    async def open(self) -> None:
        """Make the folder, and delete those of benches that were killed a day ago or earlier.

        Raises:
            BenchRefused: Nothing may be made beside the file.
        """
        await self._run(self._open)

    async def close(self) -> None:
        """Delete the folder; also where opening it has failed."""
        await self._run(self._close)
        self._thread.shutdown()

    async def facts(self) -> Mapping[str, str]:
        """The library's version, and how durable a commit is."""
        return {"server": f"SQLite {sqlite3.sqlite_version}", "journal_mode": "wal", "synchronous": self._synchronous}

    async def insert(self, payloads: Sequence[str], at_once: int) -> None:
        """Store rows, so many in each commit."""
        await self._run(partial(self._insert, payloads, at_once))

    async def settle_in(self) -> None:
        """Nothing: SQLite's claims walk one index, whatever it knows of the table."""

    async def drain(self, at_once: int) -> int:
        """Claim so many in one transaction, complete them in another, until none is left; how many there were."""
        return await self._run(partial(self._drain, at_once))

    async def pass_one(self, payload: str) -> None:
        """Store one row and claim it: two commits."""
        await self._run(partial(self._pass_one, payload))

    async def _run(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def _open(self) -> None:
        try:
            self._folder.mkdir(mode=0o700)
            for folder in self._left_behind():
                shutil.rmtree(folder)
            self._connection = raw_file.connect(self._folder / "raw.db", self._synchronous)
        except (OSError, sqlite3.Error) as error:
            raise BenchRefused(self.shown, "a folder beside the file", str(error)) from error

    def _left_behind(self) -> list[Path]:
        name = re.compile(rf"{re.escape(self._stem)}({MARK})")
        found = ((folder, name.fullmatch(folder.name)) for folder in self._folder.parent.iterdir())
        return [folder for folder, match in found if match and is_left_behind(match[1])]

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def _insert(self, payloads: Sequence[str], at_once: int) -> None:
        for first in range(0, len(payloads), at_once):
            raw_file.insert(self._open_one, [raw_file.row(payload) for payload in payloads[first : first + at_once]])

    def _drain(self, at_once: int) -> int:
        drained = 0
        while claimed := raw_file.claim(self._open_one, at_once, token := new_mark()):
            raw_file.complete(self._open_one, [job_id for job_id, _ in claimed], token)
            drained += len(claimed)
        return drained

    def _pass_one(self, payload: str) -> None:
        raw_file.insert(self._open_one, [raw_file.row(payload)])
        raw_file.claim(self._open_one, 1, new_mark())

    @property
    def _open_one(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("it is not open")
        return self._connection
