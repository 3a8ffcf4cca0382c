"""Tests of goose_sql.sqlite: how a file is opened, and where it had better not be."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from goose_sql import Database
from goose_sql.errors import UnsupportedDatabase
from goose_sql.sqlite import on_network


def test_on_network(tmp_path: Path) -> None:
    """A file on a network file system is told by the mount that holds it."""
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\nserver:/x /far nfs4 rw 0 0\n/dev/b /far/near ext4 rw 0 0\nnonsense\n")
    assert on_network(Path("/far/a.db"), mounts)
    assert on_network(Path("/far/deep/a.db"), mounts)
    assert not on_network(Path("/far/near/a.db"), mounts)
    assert not on_network(Path("/a.db"), mounts)
    assert not on_network(Path("/far/a.db"), tmp_path / "none")


async def test_warned(path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening such a file warns."""
    monkeypatch.setattr("goose_sql.sqlite.on_network", lambda _: True)
    with caplog.at_level(logging.WARNING):
        async with Database(f"sqlite:///{path}"):
            pass
    assert caplog.messages == ["SQLite file on a network file system: its locks are not reliable there"]


async def test_too_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite library that is too old is told with both versions."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    with pytest.raises(UnsupportedDatabase) as refusal:
        await Database(f"sqlite:///{path}").open()
    assert str(refusal.value) == "SQLite: found 3.34.1, need 3.35.0 or newer."


OPEN_AND_WRITE = """
import asyncio, sys
from sqlalchemy import text
from goose_sql import Database

async def main():
    async with Database(sys.argv[1]) as database:
        await database.write(lambda it: it.execute(text("CREATE TABLE IF NOT EXISTS a (x)")))
        for _ in range(50):
            await database.write(lambda it: it.execute(text("INSERT INTO a VALUES (1)")))

asyncio.run(main())
"""


def test_processes_that_start_together(path: Path) -> None:
    """Processes that make one new file at the same moment, and write to it, all succeed."""
    command = [sys.executable, "-c", OPEN_AND_WRITE, f"sqlite:///{path}"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [("", 0)] * 4
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM a").fetchone() == (200,)
    other.close()
