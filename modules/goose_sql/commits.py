"""Callbacks after the real commit of a connection: SQLAlchemy's own ``commit`` event comes before it.

Called by ``units`` for whoever joined a ``Connection``; sessions have an event of their own for this.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sqlalchemy.engine import Connection, Dialect

log = logging.getLogger("goose_sql")

_INFO: Final = "goose_sql.after_commit"
"""Where the callbacks wait: with the pooled connection, whose end ends them too."""
_watched: weakref.WeakSet[Dialect] = weakref.WeakSet()


def after_commit_of(connection: Connection, callback: Callable[[], None]) -> None:
    """Have ``callback`` called once when the running transaction of a connection is committed."""
    _watch(connection.dialect)
    connection.info.setdefault(_INFO, []).append(callback)


def _watch(dialect: Dialect) -> None:
    """Have one engine's dialect tell when a commit or a rollback has come back from the database."""
    if dialect in _watched:
        return
    _watched.add(dialect)
    for word, ended in (("do_commit", _committed), ("do_rollback", _rolled_back)):
        setattr(dialect, word, partial(_then, getattr(dialect, word), ended))


def _then(act: Callable[[Any], None], ended: Callable[[Any], None], connection: Any) -> None:
    act(connection)
    ended(getattr(connection, "info", {}))


def _committed(info: dict[str, Any]) -> None:
    for callback in info.pop(_INFO, ()):
        try:
            callback()
        except Exception:
            log.exception("A callback failed that waited for a commit")


def _rolled_back(info: dict[str, Any]) -> None:
    info.pop(_INFO, None)
