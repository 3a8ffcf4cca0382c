"""Rows 3 to 7, 28 to 35 and 57 to 63: job classes, options of the module, and the database that they name."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from typing import Any

from sqlalchemy import make_url

import goose
import goose_sql.urls
from bad_inputs.case import ON_DATABASES, ON_REDIS, Bench, Case, accepted, refused, refused_at_boot
from bad_inputs.jobs import Good
from goose import ConfigError, Instance, Module
from goose_queues import (
    DuplicateJobName,
    InvalidName,
    InvalidQueueName,
    Job,
    JobContext,
    QueueError,
    QueuesModule,
    StoreUnavailable,
)
from goose_queues.backoff import Backoff
from goose_queues.stores.redis.errors import UnsupportedServer
from goose_sql.errors import BadUrl, MissingDriver, UnsupportedDatabase
from redis_hand import RedisHand
from servers.private_redis import PrivateRedis

SECRET = "hunter2"
DURATION = "must be a non-negative timedelta or number of seconds"


class NoHandle(Job): ...


class Yields(Job):
    def handle(self, ctx: JobContext) -> Iterator[int]:
        yield 1


class YieldsAsync(Job):
    async def handle(self, ctx: JobContext) -> AsyncIterator[int]:
        yield 1


class Twin(Good, name="Good"): ...


class Isolated(Good, isolation="process"): ...


class IsolatedModule(Module):
    declarations = (Isolated,)


isolated: Instance = goose.worker(IsolatedModule, [QueuesModule(url="sqlite://")])
"""Where a child process would find it."""


def a_class(row: int, what: str, options: dict[str, Any], error: type[Exception], *facts: str) -> Case:
    """A class with these options cannot be made."""
    return refused(row, what, lambda _: type(Job)("Wrong", (Good,), {"__module__": __name__}, **options), error, *facts)


def a_module(row: int, what: str, options: dict[str, Any], *facts: str) -> Case:
    """A module with these options cannot be made; each is named, with its value and what is allowed."""
    return refused(row, what, lambda _: QueuesModule(**options), ConfigError, *facts)


def a_url(row: int, what: str, url: str, error: type[Exception], *facts: str) -> Case:
    """An application with this URL does not boot; its password is not told."""

    async def show(bench: Bench) -> None:
        await refused_at_boot(row, what, (Good,), error, *facts, url=url).show(bench)
        assert SECRET not in bench.log.text

    return Case(row, what, show)


async def missing_package(bench: Bench) -> None:
    bench.patch.setattr(goose_sql.urls, "find_spec", lambda _: None)
    url = f"mysql://ann:{SECRET}@db/x"
    wanted = 'pip install "goose-framework[mysql]"'
    case = refused_at_boot(57, "", (Good,), MissingDriver, "mysql+asyncmy://ann:***@db/x", "asyncmy", wanted, url=url)
    await case.show(bench)


async def old_database(bench: Bench) -> None:
    if bench.is_server:
        bench.patch.setattr("goose_sql.on_server._OLDEST", dict.fromkeys(("postgresql", "mysql", "mariadb"), (99, 1)))
        await refused_at_boot(60, "", (Good,), UnsupportedDatabase, "found 1", ", need 99.1 or newer").show(bench)
        return
    bench.patch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    bench.patch.setattr(sqlite3, "sqlite_version", "3.34.1")
    await refused_at_boot(60, "", (Good,), UnsupportedDatabase, "found 3.34.1, need 3.35.0").show(bench)


async def no_such_database(bench: Bench) -> None:
    url = make_url(bench.url).set(database="nowhere", password=SECRET).render_as_string(hide_password=False)
    await a_url(57, "", url, StoreUnavailable, ":***@", "/nowhere is not available: ", "nowhere").show(bench)


async def nobody_listens(bench: Bench) -> None:
    url = make_url(bench.url).set(port=1, username="ann", password=SECRET).render_as_string(hide_password=False)
    await a_url(57, "", url, StoreUnavailable, ":***@", " is not available: ").show(bench)


async def old_redis(bench: Bench) -> None:
    bench.patch.setattr("goose_queues.stores.redis.boot._OLDEST", (99, 1))
    await refused_at_boot(60, "", (Good,), UnsupportedServer, ": found ", ", need 99.1 or newer").show(bench)


async def evicting(bench: Bench) -> None:
    """A server that throws away what it likes when its memory is full."""
    with PrivateRedis(maxmemory_policy="allkeys-lru") as server:
        advice = "set maxmemory-policy noeviction"
        await refused_at_boot(61, "", (Good,), ConfigError, "allkeys-lru", advice, url=str(server.url)).show(bench)


async def missing_redis(bench: Bench) -> None:
    bench.patch.setattr("goose_queues.stores.redis.servers.find_spec", lambda _: None)
    url = f"redis://ann:{SECRET}@db"
    await refused_at_boot(57, "", (Good,), ConfigError, "goose-framework[redis]", url=url).show(bench)


async def no_such_number(bench: Bench) -> None:
    url = make_url(bench.url).set(database="9999").render_as_string(hide_password=False)
    await a_url(57, "", url, QueueError, "/9999", "DB index is out of range").show(bench)


async def wrong_password(bench: Bench) -> None:
    url = make_url(bench.url).set(username="ann", password=SECRET).render_as_string(hide_password=False)
    wanted = "it does not accept the user and password of the URL"
    await a_url(57, "", url, StoreUnavailable, "ann:***@", wanted).show(bench)


async def no_permission(bench: Bench) -> None:
    """A user who may read, and not write."""
    assert isinstance(bench.hand, RedisHand)
    bench.hand.client.execute_command(
        "ACL", "SETUSER", "reader", "on", f">{SECRET}", "~*", "&*", "+@read", "+@connection"
    )
    url = make_url(bench.url).set(username="reader", password=SECRET).render_as_string(hide_password=False)
    try:
        await a_url(57, "", url, StoreUnavailable, "reader:***@", "its user may not do this").show(bench)
    finally:
        bench.hand.client.execute_command("ACL", "DELUSER", "reader")


async def on_a_network(bench: Bench) -> None:
    bench.patch.setattr("goose_sql.sqlite.on_network", lambda _: True)
    with bench.log.at_level(logging.WARNING):
        async with bench.boots(Good, url=f"sqlite:///{bench.folder}/network.db"):
            pass
    assert "SQLite file on a network file system: its locks are not reliable there" in bench.log.messages


async def shared_memory(_: Bench) -> None:
    async with goose.running(isolated, background=True):
        raise AssertionError("it boots")


async def retry_at_once(bench: Bench) -> None:
    """Every retry waits for 100 ms at least."""

    class Eager(Good, retry_delay=0, max_retries=1_000): ...

    assert Eager.__goose_options__.retry_delay == Backoff(0.0)
    assert Backoff(0.0).delay(1) == 0.1
    async with bench.boots(Eager):
        pass


async def claims_nothing(bench: Bench) -> None:
    async with bench.boots(Good, workers={"default": 0, "exports": 2}) as kernel:
        supervisor = kernel.get(type(bench.supervisor))
        assert [worker.queue for worker in supervisor.workers] == ["exports"]


WORKERS = "an integer 0..10000, or one for each queue"
NAME = "is no name for a job: use 1 to 255 printable characters"

CASES = [
    refused_at_boot(3, "no-handle", (NoHandle,), TypeError, "NoHandle has no handle()"),
    refused_at_boot(4, "generator", (Yields,), TypeError, "Yields.handle must return or await, not yield"),
    refused_at_boot(4, "async-generator", (YieldsAsync,), TypeError, "YieldsAsync.handle must return or await"),
    refused_at_boot(
        6,
        "same-name",
        (Good, Twin),
        DuplicateJobName,
        "'Good' from bad_inputs.jobs and bad_inputs.at_boot: set name= on one of the two jobs",
    ),
    a_class(7, "nul", {"name": "a\x00b"}, InvalidName, r"'a\x00b'", NAME),
    a_class(7, "line", {"name": "a\nb"}, InvalidName, r"'a\nb'", NAME),
    a_class(7, "long", {"name": "x" * 256}, InvalidName, NAME),
    a_class(7, "empty", {"name": ""}, InvalidName, "''", NAME),
    a_class(7, "alias", {"aliases": ("a\x00",)}, InvalidName, NAME),
    a_class(28, "class-fraction", {"priority": 1.5}, TypeError, "Wrong: priority must be an integer -32768..32767"),
    a_class(28, "class-large", {"priority": 2**40}, ValueError, "Wrong: priority must be an integer -32768..32767"),
    a_class(29, "class-queue", {"queue": "a/b"}, InvalidQueueName, "'a/b'", "use [A-Za-z0-9_.-]{1,64}"),
    a_module(29, "module-queue", {"queue": "q; DROP TABLE"}, "queue='q; DROP TABLE'", "[A-Za-z0-9_.-]{1,64}"),
    a_module(29, "module-queues", {"queues": ["ok", "../x"]}, "queues=['ok', '../x']", "[A-Za-z0-9_.-]{1,64}"),
    a_class(31, "class-negative", {"max_retries": -1}, ValueError, "Wrong: max_retries must be an integer 0..1000"),
    a_class(31, "class-many", {"max_retries": 10**9}, ValueError, "Wrong: max_retries must be an integer 0..1000"),
    a_class(31, "class-none", {"max_retries": None}, ValueError, "Wrong: max_retries must be an integer 0..1000"),
    a_module(31, "module-none", {"default_retry_limit": None}, "default_retry_limit=None: an integer 0..1000"),
    accepted(32, "retry-at-once", retry_at_once, stores=0),
    a_class(32, "text", {"retry_delay": "1000"}, TypeError, f"Wrong: retry_delay {DURATION}", "'1000'"),
    a_module(32, "module-text", {"default_retry_delay": "1000"}, "default_retry_delay='1000': a timedelta, a number"),
    a_class(
        35, "class-zero", {"timeout": 0}, ValueError, "Wrong: timeout must be more than 0 s; None means no timeout"
    ),
    a_class(35, "class-endless", {"timeout": float("inf")}, ValueError, f"Wrong: timeout {DURATION}"),
    a_module(35, "module-negative", {"default_timeout": -1}, "default_timeout=-1: ", "above 0, or None for no timeout"),
    a_module(57, "driver", {"url": f"mongodb://ann:{SECRET}@db"}, "url='mongodb://ann:***@db'", "begins with one of"),
    a_url(57, "sync-driver", f"postgresql+psycopg2://ann:{SECRET}@db/x", BadUrl, "ann:***@db", "not an async driver"),
    a_url(57, "unknown-driver", f"mysql+nodriver://ann:{SECRET}@db/x", BadUrl, "ann:***@db", "'nodriver'"),
    accepted(57, "missing-package", missing_package, stores=0),
    a_url(57, "no-folder", "sqlite:////proc/nowhere/x.db", StoreUnavailable, "Does its folder exist", "write there?"),
    a_url(57, "folder", "sqlite:////proc", StoreUnavailable, "sqlite:////proc is not available: "),
    a_url(
        57, "no-database", f"sqlite:///{__file__}", StoreUnavailable, "file is not a database. Is this the right file?"
    ),
    refused(
        58,
        "memory-with-child-processes",
        shared_memory,
        ConfigError,
        "Isolated",
        "private temporary file",
        "name a file",
    ),
    accepted(58, "network", on_a_network, stores=0),
    a_module(59, "short-lease", {"stale_job_timeout": 1}, "stale_job_timeout=1: at least 5 s"),
    a_module(59, "no-poll-interval", {"poll_interval": 0}, "poll_interval=0: at least 50 ms"),
    a_module(59, "both", {"stale_job_timeout": 1, "poll_interval": 0}, "stale_job_timeout=1: ", "poll_interval=0: "),
    accepted(57, "no-such-database", no_such_database, stores=0, places=frozenset({"server"})),
    accepted(57, "nobody-listens", nobody_listens, stores=0, places=frozenset({"server", "redis"})),
    a_url(57, "redis-scheme", f"redis+twemproxy://ann:{SECRET}@db", ConfigError, "ann:***@db"),
    a_url(57, "redis-database", f"redis://ann:{SECRET}@db/jobs", ConfigError, "ann:***@db", "the number of a database"),
    accepted(57, "redis-package", missing_redis, stores=0),
    accepted(57, "redis-no-such-database", no_such_number, stores=0, places=ON_REDIS),
    accepted(57, "redis-password", wrong_password, stores=0, places=ON_REDIS),
    accepted(57, "redis-permission", no_permission, stores=0, places=ON_REDIS),
    a_module(57, "small-pool", {"pool_size": 1}, "pool_size=1: an integer 2..1000"),
    accepted(60, "old-database", old_database, stores=0, places=ON_DATABASES),
    accepted(60, "redis-old", old_redis, stores=0, places=ON_REDIS),
    accepted(61, "redis-eviction", evicting, stores=0, places=ON_REDIS),
    a_module(63, "negative", {"workers": {"exports": -1}}, "workers={'exports': -1}", WORKERS),
    a_module(63, "many", {"workers": 10**6}, "workers=1000000", WORKERS),
    a_module(63, "text", {"workers": "4"}, "workers='4'", WORKERS),
    a_module(63, "no-queue", {"workers": {"a b": 1}}, "workers={'a b': 1}", WORKERS),
    accepted(63, "zero", claims_nothing, stores=0),
]
