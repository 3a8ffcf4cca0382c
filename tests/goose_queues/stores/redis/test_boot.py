"""Tests of what is refused when the store is opened."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from goose_queues.errors import ConfigError
from goose_queues.stores.redis.boot import LAYOUT, refuse
from goose_queues.stores.redis.errors import Refused, UnsupportedServer
from goose_queues.stores.redis.servers import Servers
from servers.private import free_port
from servers.private_redis import PrivateRedis


@pytest.fixture(scope="module")
def shared() -> Iterator[PrivateRedis]:
    with PrivateRedis(requirepass="s3cret") as server:
        yield server


@pytest.fixture
def redis(shared: PrivateRedis) -> PrivateRedis:
    shared.ask("FLUSHALL")
    return shared


@asynccontextmanager
async def opened(redis: PrivateRedis) -> AsyncIterator[Servers]:
    servers = Servers(f"redis://:s3cret@127.0.0.1:{redis.port}")
    await servers.open()
    try:
        yield servers
    finally:
        await servers.close()


async def refusal(redis: PrivateRedis) -> str:
    async with opened(redis) as servers:
        with pytest.raises(ConfigError) as caught:
            await refuse(servers, "goose_")
    assert "s3cret" not in str(caught.value)
    return str(caught.value).removeprefix(f"redis://:***@127.0.0.1:{redis.port} ")


async def test_an_empty_server_is_signed(redis: PrivateRedis) -> None:
    async with opened(redis) as servers:
        await refuse(servers, "goose_")
        await refuse(servers, "goose_")

    assert redis.ask("HGETALL", "goose_queues") == {"": LAYOUT}


async def test_a_policy_that_throws_jobs_away() -> None:
    with PrivateRedis(requirepass="s3cret", maxmemory_policy="allkeys-lru") as own:
        assert await refusal(own) == (
            "has maxmemory-policy allkeys-lru, by which it throws jobs away when its memory is full: "
            "set maxmemory-policy noeviction"
        )


async def test_a_replica(redis: PrivateRedis) -> None:
    with PrivateRedis(requirepass="s3cret", replicaof=f"127.0.0.1 {redis.port}", masterauth="s3cret") as own:
        assert await refusal(own) == "is a replica, which takes no writes: name the primary server"


async def test_a_node_of_a_cluster() -> None:
    with PrivateRedis(requirepass="s3cret", cluster_enabled="yes", cluster_port=free_port()) as own:
        assert await refusal(own) == "is one node of a cluster: write redis+cluster://"


async def test_a_key_of_another_kind(redis: PrivateRedis) -> None:
    redis.ask("SET", "goose_queues", "x")

    assert await refusal(redis) == (
        "has a key 'goose_queues' that is not the queue's, though it begins with 'goose_': "
        "give the queue a table_prefix of its own"
    )


async def test_another_layout(redis: PrivateRedis) -> None:
    redis.ask("HSET", "goose_queues", "", "9")

    assert await refusal(redis) == (
        "has the queue's keys in version 9, this process knows version 1: "
        "use the goose-framework that wrote them, or another table_prefix"
    )


async def test_a_prefix_that_is_somebody_elses(redis: PrivateRedis) -> None:
    redis.ask("SET", "goose_{emails}:index", "")
    redis.ask("SET", "goose_session:1", "")

    assert await refusal(redis) == (
        "has a key 'goose_session:1' that is not the queue's, though it begins with 'goose_': "
        "give the queue a table_prefix of its own"
    )


async def test_own_keys_are_no_offence(redis: PrivateRedis) -> None:
    for key in ("goose_{emails}:index", "goose_{emails}:data", "other_thing"):
        redis.ask("SET", key, "")
    async with opened(redis) as servers:
        await refuse(servers, "goose_")


class Managed:
    """A server as a provider lets it be seen."""

    url = "redis://:***@managed"
    is_cluster = False

    def __init__(self, **facts: str) -> None:
        self.facts = {"redis_version": "7.2.4", "role": "master", **facts}

    async def each_node(self, *words: Any) -> list[Any]:
        if words[0] == "INFO":
            return ["\r\n".join(f"{name}:{value}" for name, value in self.facts.items())]
        raise Refused(self.url, "ERR unknown command 'CONFIG'")

    async def command(self, *words: Any) -> Any:
        return {"TYPE": "none"}.get(words[0])

    async def scan(self, pattern: str, limit: int) -> list[str]:
        return []


async def test_an_old_server() -> None:
    with pytest.raises(UnsupportedServer) as caught:
        await refuse(Managed(redis_version="5.0.7"), "goose_")

    assert str(caught.value) == "redis://:***@managed: found 5.0.7, need 6.2 or newer."


async def test_a_policy_that_nobody_tells(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await refuse(Managed(), "goose_")

    assert [record.getMessage() for record in caplog.records] == [
        "Nobody may ask for the maxmemory-policy of redis://:***@managed: "
        "make sure that it is noeviction, else jobs get lost"
    ]


async def test_valkey() -> None:
    await refuse(Managed(server_name="valkey", valkey_version="8.0.1", maxmemory_policy="noeviction"), "goose_")
