"""Tests of the servers that tests use: they start, go and come back as they say, and the proxy does what it is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pymysql
import pytest

from servers.private import Pgbouncer, PrivateMariaDB, PrivatePostgres
from servers.proxy import TcpProxy
from servers.shared import DATABASES, connect, room, server
from waiting import wait_until

PRIVATE = {"postgres": PrivatePostgres, "mysql": PrivateMariaDB}


def rows(connection: Any, *statements: str) -> Any:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


@pytest.mark.parametrize("name", DATABASES)
def test_room(name: str) -> None:
    """A room is the process's own database; it can be emptied, and cleared of its tables."""
    ours = room(name)
    ours.clear()
    with closing(connect(ours.url)) as connection:
        counted = ["CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", "SELECT count(*) FROM t"]
        assert rows(connection, *counted)[0][0] == 1
        ours.empty()
        assert rows(connection, "SELECT count(*) FROM t")[0][0] == 0
        ours.clear()
        assert rows(connection, *counted)[0][0] == 1
    ours.clear()


def test_room_on_redis() -> None:
    """There it is a server or a database of its own, that can be emptied."""
    ours = room("redis")
    ours.clear()
    with closing(connect(ours.url)) as client:
        client.set("a", 1)
        assert client.dbsize() == 1
        ours.empty()
        assert client.dbsize() == 0


@pytest.mark.parametrize("name", DATABASES)
def test_private_server(name: str) -> None:
    """What was committed is there after every way to stop and start again."""
    with PRIVATE[name]() as own:
        with closing(connect(own.url)) as connection:
            rows(connection, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", "SELECT 1")
        own.restart()
        own.restart(immediate=True)
        own.kill()
        with pytest.raises((psycopg.OperationalError, pymysql.OperationalError)):
            connect(own.url)
        own.start()
        with closing(connect(own.url)) as connection:
            assert rows(connection, "SELECT a FROM t")[0][0] == 1


def test_pgbouncer() -> None:
    """The bouncer leads to the server behind it, and can be restarted."""
    with Pgbouncer(server("postgres")) as bouncer:
        with closing(connect(bouncer.url)) as connection:
            assert rows(connection, "SELECT 1") == [(1,)]
        bouncer.restart()
        connect(bouncer.url).close()


class TestProxy:
    @pytest.fixture
    def proxy(self) -> Iterator[TcpProxy]:
        with TcpProxy(server("postgres")) as proxy:
            yield proxy

    @staticmethod
    def ask(line: socket.socket) -> bytes:
        """PostgreSQL answers a request for TLS before anything else."""
        line.settimeout(0.3)
        line.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
        return line.recv(1)

    def test_passes(self, proxy: TcpProxy) -> None:
        with closing(connect(proxy.url)) as connection:
            assert rows(connection, "SELECT 1") == [(1,)]
        assert proxy.accepted == 1

    @pytest.mark.parametrize("acknowledge", [True, False])
    async def test_blackhole(self, proxy: TcpProxy, acknowledge: bool) -> None:
        """Old lines hear nothing, new ones do not come to anything, and afterwards both go on."""
        with socket.create_connection(("127.0.0.1", proxy.port)) as line:
            line.settimeout(5)
            await wait_until(lambda: proxy.lines == 1)
            proxy.blackhole(acknowledge=acknowledge)
            with pytest.raises(TimeoutError):
                self.ask(line)
            with pytest.raises(TimeoutError), socket.create_connection(("127.0.0.1", proxy.port), 0.3) as other:
                self.ask(other)
            proxy.pass_through()
            line.settimeout(20)
            assert line.recv(1) in {b"S", b"N"}
            with socket.create_connection(("127.0.0.1", proxy.port), 20) as other:
                other.settimeout(20)
                other.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
                assert other.recv(1) in {b"S", b"N"}

    def test_cut(self, proxy: TcpProxy) -> None:
        """A line that is cut is reset, and new ones work."""
        with closing(connect(proxy.url)) as connection:
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                rows(connection, "SELECT 1")
        connect(proxy.url).close()
