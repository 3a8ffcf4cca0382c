"""The sessions that a caller may name by ``using``."""

from __future__ import annotations

from typing import TypeAlias

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from goose_sql.urls import masked

AnySession: TypeAlias = AsyncSession | Session | AsyncConnection | Connection


def as_session(session: object) -> AnySession:
    """What the caller has named.

    Raises:
        TypeError: It is no session and no connection.
    """
    if not isinstance(session, AsyncSession | Session | AsyncConnection | Connection):
        raise TypeError(
            f"using() takes an AsyncSession, a Session, an AsyncConnection, a Connection or None, "
            f"not {type(session).__name__}"
        )
    return session


def url_of(session: AnySession) -> str:
    """Where its data is, with the password masked."""
    bind = session.get_bind() if isinstance(session, AsyncSession | Session) else session
    return masked(bind.engine.url)
