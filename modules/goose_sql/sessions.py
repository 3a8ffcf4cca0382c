"""Sessions as units of work: one per scope, committed with it, and those that scripts and tests open by hand.

``module`` declares ``session_of_scope``; ``database`` uses the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from goose.scope import Scope
from goose_sql.units import UnitSession, open_in_scope, opened_here, unit_of

T = TypeVar("T")


def new_session(engine: AsyncEngine) -> AsyncSession:
    """A session that keeps what it has loaded usable after a commit: nothing can be reloaded silently in async code."""
    return AsyncSession(engine, sync_session_class=UnitSession, expire_on_commit=False)


def session_of_scope(engine: AsyncEngine, scope: Scope) -> AsyncSession:
    """The scope's session: committed when the scope ends well, rolled back when it ends with an error."""
    session = new_session(engine)
    end_unit = open_in_scope(unit_of(session), scope)

    async def end(error: BaseException | None) -> None:
        end_unit()
        await to_its_end(_end(session, error))

    scope.on_exit(end)
    return session


@asynccontextmanager
async def open_session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A session of the task around; what was not committed is rolled back."""
    session = new_session(engine)
    try:
        with opened_here(unit_of(session)):
            yield session
    finally:
        await to_its_end(_close(session))


@asynccontextmanager
async def open_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction of the task around, committed at the end, rolled back on an error."""
    connection = await engine.connect()
    error: BaseException | None = None
    try:
        _ = await connection.begin()
        with opened_here(unit_of(connection)):
            yield connection
    except BaseException as raised:
        error = raised
        raise
    finally:
        await to_its_end(_end(connection, error))


async def _end(subject: AsyncSession | AsyncConnection, error: BaseException | None) -> None:
    try:
        if error is None and subject.in_transaction():
            await subject.commit()
        elif subject.in_transaction():
            await subject.rollback()
    finally:
        await _close(subject)


async def _close(subject: AsyncSession | AsyncConnection) -> None:
    """Let go of it; what its commit has begun elsewhere is done when this returns."""
    unit = unit_of(subject)
    try:
        await subject.close()
    finally:
        await unit.followed()


async def to_its_end(work: Coroutine[Any, Any, T], *, grace: float | None = None) -> T:
    """Do some work whole, even when the task around is cancelled meanwhile; then let the cancellation through.

    A commit that is torn off in the middle would leave its connection checked out, or the caller in doubt.

    Args:
        work: Begins at once, in a task of its own.
        grace: Seconds that it has left when the task around is cancelled, before it is cancelled as well; None: all.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    torn_off: asyncio.TimerHandle | None = None
    while not task.done():
        try:
            if cancelled is None:
                await asyncio.wait((task,))
                continue
            with anyio.CancelScope(shield=True):
                await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
            if torn_off is None and grace is not None:
                torn_off = loop.call_later(grace, task.cancel)
    if torn_off is not None:
        torn_off.cancel()
    if cancelled is not None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            cancelled.add_note(f"and while ending the transaction: {failure}")
        raise cancelled
    return task.result()
