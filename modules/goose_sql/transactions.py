"""Whole transactions on a server: begun again where others stood in the way, cancelled wholly or not at all.

``on_server`` runs them in the application's event loop, ``blocking`` in a thread of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from sqlalchemy.exc import DBAPIError

from goose_sql.calls import Operation
from goose_sql.errors import CommitInDoubt, DatabaseUnavailable
from goose_sql.faults import explained, first_line, is_conflict, unavailable
from goose_sql.server_engine import ServerEngine, autocommit
from goose_sql.sessions import to_its_end

T = TypeVar("T")

_AGAIN: Final = 5
"""Times that a transaction is begun again after a conflict."""
_PAUSE: Final = 0.02
"""Seconds, twice as many each time, before that; less by chance."""
_GRACE: Final = 2.0
"""Seconds that a transaction has to end when nobody waits for it any more, before it is torn off."""


_AT_ONCE: Final = 2.0
"""Seconds within which a dead connection is told from one that died later."""


class _Doubt:
    """Whether a transaction has come so far that its end, should it be lost, is not known."""

    is_open = False


async def write(server: ServerEngine, operation: Operation[T], *, single: bool) -> T:
    """Run one whole transaction; with ``single``, of one statement, which the server commits by itself."""
    return await to_its_end(transact(server, operation, single=single), grace=_GRACE)


async def read(server: ServerEngine, operation: Operation[T], *, single: bool) -> T:
    """Run an operation that only reads; what it changes, should it, is rolled back, or with ``single`` is not."""
    return await to_its_end(_read(server, operation, single=single), grace=_GRACE)


async def transact(
    server: ServerEngine, operation: Operation[T], *, single: bool, is_wanted: Callable[[], bool] = lambda: True
) -> T:
    """The same, to be torn off wherever it stands when it is cancelled.

    Args:
        server: Where.
        operation: What.
        single: As in ``write``.
        is_wanted: Asked before it is begun again.
    """
    conflicts, was_lost, begun = 0, False, time.monotonic()
    while True:
        doubt = _Doubt()
        try:
            return await (_single if single else _transaction)(server, operation, doubt)
        except Exception as error:  # noqa: BLE001 - it is raised in _fail
            if not is_wanted():
                _fail(server, error, doubt)
            if is_conflict(error) and conflicts < _AGAIN:
                conflicts += 1
            elif not (doubt.is_open or was_lost) and _was_dead(error, begun):
                # Nothing of it can have been committed.
                was_lost = True
                continue
            else:
                _fail(server, error, doubt)
        await asyncio.sleep(_PAUSE * 2**conflicts * random.random())  # noqa: S311 - jitter


async def _read(server: ServerEngine, operation: Operation[T], *, single: bool) -> T:
    was_lost, begun = False, time.monotonic()
    while True:
        try:
            return await _reading(server, operation, single=single)
        except Exception as error:  # noqa: BLE001 - as above
            if was_lost or not _was_dead(error, begun):
                _fail(server, error, _Doubt())
            was_lost = True


async def _transaction(server: ServerEngine, operation: Operation[T], doubt: _Doubt) -> T:
    async with server.transaction() as connection:
        result = await connection.run_sync(operation)
        doubt.is_open = True
        await connection.commit()
    return result


async def _single(server: ServerEngine, operation: Operation[T], doubt: _Doubt) -> T:
    if not server.can_autocommit:
        return await _transaction(server, operation, doubt)
    with autocommit():
        connection = await server.engine.connect()
    try:
        doubt.is_open = True
        return await connection.run_sync(operation)
    finally:
        await connection.close()


async def _reading(server: ServerEngine, operation: Operation[T], *, single: bool) -> T:
    if single and server.can_autocommit:
        return await _single(server, operation, _Doubt())
    async with server.transaction(at_one_moment=True) as connection:
        return await connection.run_sync(operation)


def _is_broken(error: Exception) -> bool:
    """Whether the connection broke under a statement; where none could be made, there is nothing to try again."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _was_dead(error: Exception, begun: float) -> bool:
    """Whether it was a pooled connection that had died at rest, which could not be seen from here."""
    return _is_broken(error) and time.monotonic() - begun < _AT_ONCE


def _fail(server: ServerEngine, error: Exception, doubt: _Doubt) -> NoReturn:
    address = server.address
    if is_conflict(error):
        raise unavailable(address, error, f"others stood in its way {_AGAIN + 1} times. {first_line(error)}") from error
    answer = explained(address, error)
    if answer is not error and server.watch.silent_for is not None:
        answer = unavailable(address, error, f"it has not answered for {server.watch.silent_for:.0f} s.")
    if isinstance(answer, DatabaseUnavailable) and answer is not error and doubt.is_open and _is_broken(error):
        answer = CommitInDoubt(str(address), answer.reason)
    raise answer from error
