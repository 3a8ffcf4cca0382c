"""The servers that tests share: where they are, and what happens to a test whose server is not at hand.

Each process of a test run has a database of its own there (``room``), emptied between tests and dropped at its end. Of
Redis, which takes no time to start, it has a server of its own.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, Protocol

import pytest
from sqlalchemy import URL, make_url

_DEFAULTS: Final = {
    "postgres": ("GOOSE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test"),
    "mysql": ("GOOSE_TEST_MYSQL", "mysql://root@127.0.0.1:3306/test"),
    "redis": ("GOOSE_TEST_REDIS", "redis://127.0.0.1:6379"),
}
SERVERS: Final = tuple(_DEFAULTS)
"""The names by which tests are parametrised, and by which GOOSE_TEST_REQUIRE calls the servers."""
DATABASES: Final = ("postgres", "mysql")
"""Those of them that speak SQL."""

_KEPT: Final = ("goose_version_", "goose_layout")
"""What the names of those tables begin with."""
_PREFIX: Final = f"goose_test_{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]}_"


def is_required(name: str) -> bool:
    """Whether a server that is not at hand fails the run: the CI names those in GOOSE_TEST_REQUIRE."""
    return name in os.environ.get("GOOSE_TEST_REQUIRE", "").split(",")


def is_named(name: str) -> bool:
    """Whether the environment says where the shared server is."""
    return bool(os.environ.get(_DEFAULTS[name][0]))


def driver_of(url: str | URL) -> Literal["sql", "redis"]:
    """What ``QueuesModule(driver=...)`` is for a URL."""
    return "redis" if str(url).startswith("redis") else "sql"


def skip_or_fail(name: str, reason: str) -> NoReturn:
    """Skip the test by name, or fail it where the run was told that this server is there."""
    if is_required(name):
        pytest.fail(f"{name} is required, but {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}")


def address(name: str) -> URL:
    """Where a shared server is."""
    variable, otherwise = _DEFAULTS[name]
    return make_url(os.environ.get(variable) or otherwise)


def server(name: str) -> URL:
    """The same, of a server that answers; else the test is skipped or fails."""
    if fault := _fault(name):
        skip_or_fail(name, fault)
    return address(name)


class Room(Protocol):
    """A place on a server that belongs to this process alone."""

    @property
    def url(self) -> URL: ...
    def empty(self) -> None:
        """Take every job out of it, quickly."""

    def clear(self) -> None:
        """Leave nothing there at all."""

    def drop(self) -> None:
        """Give it back, whoever is still connected."""


class DatabaseRoom:
    """A database on a shared server."""

    def __init__(self, name: str, database: str) -> None:
        self.url: Final = address(name).set(database=database)
        """Good for every driver: put ``dialect+driver`` in its place with ``.set(drivername=...)``."""
        self._is_postgres: Final = name == "postgres"
        self._database: Final = database
        self._connection: Any = None

    def make(self) -> None:
        """Make it, and drop those that processes left behind which were killed."""
        with closing(connect(address(self._name))) as connection:
            for left in _left_behind(connection, is_postgres=self._is_postgres):
                self._drop(connection, left)
            self._drop(connection, self._database)
            _run(connection, f"CREATE DATABASE {self._database}")

    def empty(self) -> None:
        """Take every row out of every table but those that tell a version; quick when there are few rows."""
        tables = [table for table in self._tables() if not table.strip('"`').startswith(_KEPT)]
        if self._is_postgres:
            if tables:
                self._run(f"TRUNCATE {', '.join(tables)}")
            return
        for table in tables:
            self._run(f"DELETE FROM {table}")

    def clear(self) -> None:
        """Drop every table."""
        if self._is_postgres:
            self._run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        elif tables := self._tables():
            self._run(f"DROP TABLE {', '.join(tables)}")

    def drop(self) -> None:
        """Drop it, whoever is still connected."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with closing(connect(address(self._name))) as connection:
            self._drop(connection, self._database)

    @property
    def _name(self) -> str:
        return "postgres" if self._is_postgres else "mysql"

    def _drop(self, connection: Any, database: str) -> None:
        _run(connection, f"DROP DATABASE IF EXISTS {database}{' WITH (FORCE)' if self._is_postgres else ''}")

    def _tables(self) -> list[str]:
        schema = "current_schema()" if self._is_postgres else "database()"
        found = self._run(f"SELECT table_name FROM information_schema.tables WHERE table_schema = {schema}")
        return [f'"{table}"' if self._is_postgres else f"`{table}`" for (table,) in found]

    def _run(self, *statements: str) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect(self.url)
            # A test that left a transaction open is told so, and not waited for.
            if self._is_postgres:
                _run(self._connection, "SET lock_timeout = '10s'", "SET synchronous_commit = off")
            else:
                _run(
                    self._connection,
                    "SET lock_wait_timeout = 10, innodb_lock_wait_timeout = 10, foreign_key_checks = 0",
                )
        return _run(self._connection, *statements)


@functools.cache
def room(name: str) -> Room:
    """This process's place on a server, as the last test left it; skips or fails where there is no server."""
    made = _redis_room() if name == "redis" else _database_room(name)
    atexit.register(_drop_quietly, made)
    return made


def _database_room(name: str) -> Room:
    server(name)
    made = DatabaseRoom(name, f"{_PREFIX}{os.getpid()}")
    made.make()
    return made


def _redis_room() -> Room:
    from servers.redis_room import NamedRoom, PrivateRoom, redis_is_installed

    if redis_is_installed() or not is_named("redis"):
        return PrivateRoom()
    return NamedRoom(server("redis"))


def connect(url: URL) -> Any:
    """A blocking connection of the driver's own, in autocommit, to a server that answers."""
    if url.get_backend_name() == "redis":
        from redis import Redis

        client = Redis.from_url(url.render_as_string(False), socket_connect_timeout=5)
        client.ping()
        return client
    if url.get_backend_name() == "postgresql":
        import psycopg

        return psycopg.connect(url.set(drivername="postgresql").render_as_string(False), autocommit=True)
    import pymysql

    return pymysql.connect(
        host=url.host,
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=url.database,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=5,
    )


def _run(connection: Any, *statements: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@functools.cache
def _fault(name: str) -> str | None:
    try:
        connect(address(name)).close()
    except ImportError as error:
        return f"the package {error.name} is not installed"
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own
        return f"no server at {address(name)}: {error}"
    return None


def _left_behind(connection: Any, *, is_postgres: bool) -> Iterator[str]:
    query = "SELECT datname FROM pg_database" if is_postgres else "SHOW DATABASES"
    for (database,) in _run(connection, query):
        pid = database.removeprefix(_PREFIX)
        if pid != database and pid.isdigit() and not Path(f"/proc/{pid}").exists():
            yield database


def _drop_quietly(made: Room) -> None:
    with suppress(Exception):
        made.drop()
