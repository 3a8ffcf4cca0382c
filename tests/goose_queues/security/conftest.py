"""A hand that edits the queue's file past the queue."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest


@pytest.fixture
def hand(url: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Run SQL on the file."""

    def run(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            return connection.execute(sql, parameters).fetchall()

    return run
