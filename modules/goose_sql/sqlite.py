"""How connections to a SQLite file are opened: pragmas, journal mode, and what the library must be able to do."""

from __future__ import annotations

import logging
import math
import random
import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from goose_sql.errors import UnsupportedDatabase

log = logging.getLogger("goose_sql")

Synchronous: TypeAlias = Literal["full", "normal"]

OLDEST: Final = (3, 35, 0)
_RETRY: Final = 0.01
_SOONEST: Final = 0.001
_LATEST: Final = 0.02
"""Seconds before the write lock is asked for again: growing by half from the one to the other, with jitter."""
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "glusterfs"})


class RawConnection(sqlite3.Connection):
    """The standard library's connection, telling its owner when it is closed, by whatever way."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self.on_close is not None:
                self.on_close()


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """One file and the way this process works with it."""

    path: Path
    synchronous: Synchronous
    busy_timeout: float
    """Seconds that a statement waits for the lock of another process."""

    def connect(self) -> RawConnection:
        """Open a connection in autocommit mode: whoever writes begins by himself.

        Raises:
            sqlite3.Error: The file cannot be opened, or is not a database.
        """
        raw = sqlite3.connect(
            self.path,
            timeout=self.busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=RawConnection,
        )
        try:
            raw.execute(f"PRAGMA synchronous={self.synchronous.upper()}")
            raw.execute("PRAGMA foreign_keys=ON")
            raw.execute("PRAGMA temp_store=MEMORY")
            raw.create_function("regexp", 2, _regexp, deterministic=True)
            raw.create_function("floor", 1, math.floor, deterministic=True)
        except BaseException:
            raw.close()
            raise
        return raw

    def connect_reader(self) -> RawConnection:
        """Open a connection that refuses to write."""
        raw = self.connect()
        raw.execute("PRAGMA query_only=ON")
        return raw

    def begin(self, raw: sqlite3.Connection) -> None:
        """Begin a transaction that writes, in competition with other processes.

        SQLite's own wait asks for the lock ten times a second, and a process that writes without a pause leaves it free
        for less than a millisecond: of eight such processes some got nothing for seconds. Asking often, at random
        moments, gives each its share.

        Raises:
            sqlite3.OperationalError: The lock was not free within ``busy_timeout`` seconds.
        """
        deadline = time.monotonic() + self.busy_timeout
        wait = _SOONEST
        raw.execute("PRAGMA busy_timeout=0")
        try:
            while True:
                try:
                    raw.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if not is_busy(error) or time.monotonic() > deadline:
                        raise
                time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
                wait = min(wait * 1.5, _LATEST)
        finally:
            raw.execute(f"PRAGMA busy_timeout={self.busy_timeout * 1000:.0f}")

    def prepare(self) -> None:
        """Put the file, made where it is missing, into WAL mode; reads never wait for a writer then.

        Raises:
            UnsupportedDatabase: The SQLite library is too old.
            sqlite3.Error: The file cannot be opened, or is not a database.
        """
        if sqlite3.sqlite_version_info < OLDEST:
            raise UnsupportedDatabase("SQLite", sqlite3.sqlite_version, ".".join(map(str, OLDEST)))
        raw = self.connect()
        try:
            mode = self._enter_wal(raw)
        finally:
            raw.close()
        if mode != "wal":
            log.warning("SQLite refused WAL mode, so reads wait for writes", extra={"file": str(self.path)})
        if on_network(self.path):
            log.warning(
                "SQLite file on a network file system: its locks are not reliable there",
                extra={"file": str(self.path)},
            )

    def _enter_wal(self, raw: sqlite3.Connection) -> str:
        # SQLite does not wait for the lock in this one statement, so two processes that start together meet here.
        deadline = time.monotonic() + self.busy_timeout
        while True:
            try:
                return str(raw.execute("PRAGMA journal_mode=WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY)


def is_busy(error: BaseException) -> bool:
    """Whether somebody else holds the lock."""
    return primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def primary_code(error: BaseException) -> int | None:
    """SQLite's own code of an error, without the part that tells variants apart."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def on_network(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a file lies on a network file system, as far as this system tells."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    kinds = {Path(point): kind for point, kind in (line.split(" ")[1:3] for line in lines if line.count(" ") > 1)}
    home = next((folder for folder in path.parents if folder in kinds), None)
    return home is not None and kinds[home] in _NETWORK


def _regexp(pattern: str, text: str | None) -> bool | None:
    return None if text is None else re.search(pattern, text) is not None
