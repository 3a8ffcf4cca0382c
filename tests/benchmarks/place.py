"""Where a trial stores its jobs: a fresh file, or a database of its own on a server, dropped afterwards.

``contest`` and ``run`` make one for each trial. A server is found as the tests find it, by GOOSE_TEST_POSTGRES and
GOOSE_TEST_MYSQL, else at its usual port; the user of that URL must be allowed to create databases. On Redis each trial has
a server of its own.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from .private_redis import private_redis, version

Store: TypeAlias = Literal["sqlite", "postgresql", "mariadb", "redis"]

SQLITE: Store = "sqlite"
POSTGRESQL: Store = "postgresql"
MARIADB: Store = "mariadb"
REDIS: Store = "redis"
STORES: tuple[Store, ...] = get_args(Store)

_SERVERS = {
    POSTGRESQL: ("GOOSE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test"),
    MARIADB: ("GOOSE_TEST_MYSQL", "mysql://root@127.0.0.1:3306/test"),
}


def file_in(folder: Path) -> Path:
    """The SQLite file of the trial that has this folder."""
    return folder / "queue.db"


@contextmanager
def place(store: Store, folder: Path) -> Iterator[str]:
    """The URL of a place that is empty; on a server it is dropped at the end, whoever is still connected to it."""
    if store == SQLITE:
        yield f"sqlite:///{file_in(folder)}"
        return
    if store == REDIS:
        with private_redis(folder) as url:
            yield url
        return
    name = f"bench_{secrets.token_hex(6)}"
    if store == POSTGRESQL:
        # Of template0: nobody is connected to it, so nobody has to be waited for.
        make, drop = f'create database "{name}" template template0', f'drop database "{name}" with (force)'
    else:
        make, drop = f"create database {name} character set utf8mb4", f"drop database {name}"
    _ask(store, make)
    try:
        yield _server(store)._replace(path=f"/{name}").geturl()
    finally:
        _ask(store, drop)


def describe(store: Store) -> str:
    """The store's version, and how durable a commit is there."""
    if store == SQLITE:
        return f"SQLite {sqlite3.sqlite_version} (WAL, synchronous=FULL)"
    if store == REDIS:
        return version()
    if store == POSTGRESQL:
        ask = (
            "select current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')"
        )
        number, fsync, commit = _ask(store, ask)
        return f"PostgreSQL {number} (fsync={fsync}, synchronous_commit={commit})"
    number, flush = _ask(store, "select version(), @@innodb_flush_log_at_trx_commit")
    return f"MariaDB {number} (innodb_flush_log_at_trx_commit={flush})"


def _server(store: Store) -> SplitResult:
    variable, usual = _SERVERS[store]
    return urlsplit(os.environ.get(variable) or usual)


def _ask(store: Store, statement: str) -> tuple[Any, ...]:
    """Run one statement on the server, outside of a transaction; its first row, if it has any."""
    server = _server(store)
    if store == MARIADB:
        return asyncio.run(_ask_mariadb(server, statement))
    psycopg: Any = importlib.import_module("psycopg")
    with closing(psycopg.connect(server.geturl(), autocommit=True)) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else ()


async def _ask_mariadb(server: SplitResult, statement: str) -> tuple[Any, ...]:
    asyncmy: Any = importlib.import_module("asyncmy")
    connection = await asyncmy.connect(
        host=server.hostname or "127.0.0.1",
        port=server.port or 3306,
        user=unquote(server.username or "root"),
        password=unquote(server.password or ""),
        autocommit=True,
    )
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(statement)
            return await cursor.fetchone() or ()
    finally:
        await connection.ensure_closed()
