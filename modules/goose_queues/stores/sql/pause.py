"""Queues from which nothing is to be claimed: one row for each, looked at by every claim."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, delete, literal_column, select

from goose_queues.stores.sql.once import insert_once
from goose_queues.stores.sql.statement import Layout, Statement

_ONE: Final[ColumnElement[Any]] = literal_column("1")


def pause(connection: Connection, layout: Layout, now: int, queue: str) -> None:
    """Let no claim take anything from this queue; again does nothing."""
    _pausing(layout).run(connection, {"queue": queue, "since": now})


def resume(connection: Connection, layout: Layout, queue: str) -> None:
    """The end of ``pause``."""
    _resuming(layout).run(connection, {"of_queue": queue})


def is_paused(connection: Connection, layout: Layout, queue: str) -> bool:
    """Whether claims are to leave this queue alone."""
    return bool(_pause_of(layout).rows(connection, {"of_queue": queue}))


def paused_queues(connection: Connection, layout: Layout) -> list[str]:
    """All of them."""
    return [queue for (queue,) in _pauses(layout).rows(connection, {})]


@lru_cache(maxsize=16)
def _pausing(layout: Layout) -> Statement:
    return insert_once(layout, layout.tables.paused, ("queue", "since"))


@lru_cache(maxsize=16)
def _resuming(layout: Layout) -> Statement:
    paused = layout.tables.paused
    return layout.prepare(delete(paused).where(paused.c.queue == bindparam("of_queue")))


@lru_cache(maxsize=16)
def _pause_of(layout: Layout) -> Statement:
    paused = layout.tables.paused
    return layout.prepare(select(_ONE).where(paused.c.queue == bindparam("of_queue")))


@lru_cache(maxsize=16)
def _pauses(layout: Layout) -> Statement:
    return layout.prepare(select(layout.tables.paused.c.queue))
