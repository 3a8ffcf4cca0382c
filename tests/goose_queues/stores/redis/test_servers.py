"""Tests of the way to one server: URLs, errors, and what becomes of connections whose users are gone."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from goose_queues.errors import ConfigError, StoreUnavailable
from goose_queues.stores.redis.address import Node, address_of
from goose_queues.stores.redis.ear import hear
from goose_queues.stores.redis.errors import AnswerLost, Refused
from goose_queues.stores.redis.refusal import Refusal
from goose_queues.stores.redis.scripts import Script
from goose_queues.stores.redis.servers import Run, Servers
from servers.private_redis import PrivateRedis
from servers.proxy import TcpProxy
from waiting import wait_until


def script(text: str) -> Script:
    return Script("test", text, hashlib.sha1(text.encode()).hexdigest())


ECHO = script("return {KEYS[1], ARGV[1], 7, false}")
COUNT = script("return redis.call('INCR', KEYS[1])")


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    with PrivateRedis(requirepass="s3cret") as server:
        yield server


@pytest.fixture
async def servers(redis: PrivateRedis) -> AsyncIterator[Servers]:
    opened = Servers(f"redis://:s3cret@127.0.0.1:{redis.port}/0", pool_size=3)
    await opened.open()
    await opened.command("FLUSHDB")
    yield opened
    await opened.close()
    await opened.close()


class TestUrls:
    def test_one_server(self) -> None:
        address = address_of("redis://ann:p%40ss@db:7000/3?socket_timeout=9")

        assert (address.kind, address.nodes, address.is_tls) == ("single", (Node("db", 7000),), False)
        assert address.options == {"username": "ann", "password": "p@ss", "db": 3}
        assert (address.answer_timeout, address.text) == (9.0, "redis://ann:***@db:7000/3?socket_timeout=9")

    def test_sentinels(self) -> None:
        url = "rediss+sentinel://:pw@a,[::1]:5000/main/2?sentinel_password=other&ssl_ca_certs=/ca.pem"
        address = address_of(url)

        assert (address.kind, address.service, address.is_tls) == ("sentinel", "main", True)
        assert address.nodes == (Node("a", 26379), Node("::1", 5000))
        assert address.options == {"password": "pw", "db": 2, "ssl_ca_certs": "/ca.pem"}
        assert address.sentinel_options == {"password": "other", "ssl_ca_certs": "/ca.pem"}
        assert "pw" not in address.text
        assert "other" not in address.text

    def test_cluster(self) -> None:
        address = address_of("redis+cluster://a:1,b")

        assert (address.kind, address.nodes) == ("cluster", (Node("a", 1), Node("b", 6379)))

    @pytest.mark.parametrize(
        ("url", "sentence"),
        [
            ("redis+cluster://:pw@a/1", "url='redis+cluster://:***@a/1': a cluster has database 0 only"),
            (
                "redis+sentinel://:pw@a",
                "url='redis+sentinel://:***@a': the path names the master that the sentinels watch: "
                "redis+sentinel://user:password@host:26379,host:26379/mymaster/0",
            ),
            (
                "redis://:pw@a/queue",
                "url='redis://:***@a/queue': the path is the number of a database: redis://user:password@host:6379/0",
            ),
            (
                "redis://:pw@a:port",
                "url='redis://:***@a:port': a host or port in it cannot be read: redis://user:password@host:6379/0",
            ),
            (
                "redis://a,b",
                "url='redis://a,b': for several servers write redis+cluster:// or redis+sentinel://",
            ),
            (
                "redis://a?socket_timeout=x",
                "url='redis://a?socket_timeout=x': Invalid value for 'socket_timeout' in connection URL.",
            ),
        ],
    )
    def test_wrong(self, url: str, sentence: str) -> None:
        with pytest.raises(ConfigError) as caught:
            Servers(url)

        assert str(caught.value).startswith(sentence)

    def test_an_option_that_nobody_knows(self) -> None:
        with pytest.raises(ConfigError, match=r"max_connections is no option here\. It takes client_name, db"):
            Servers("redis://a?max_connections=4")
        with pytest.raises(ConfigError, match="ssl_nonsense"):
            Servers("rediss://a?ssl_nonsense=4")

    def test_a_missing_package_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("goose_queues.stores.redis.servers.find_spec", lambda _: None)

        with pytest.raises(ConfigError) as caught:
            Servers("redis://a")

        assert str(caught.value) == (
            "driver=\"redis\" needs the package redis, which is not installed: pip install 'goose-framework[redis]'"
        )


class TestRuns:
    async def test_a_script_the_server_does_not_know_yet(self, servers: Servers) -> None:
        await servers.command("SCRIPT", "FLUSH")

        assert await servers.run(Run(ECHO, ["k"], ["é"])) == ["k", "é", 7, None]
        assert await servers.run_all([Run(ECHO, [key], [1]) for key in "ab"]) == [
            ["a", "1", 7, None],
            ["b", "1", 7, None],
        ]

    async def test_from_another_thread(self, servers: Servers) -> None:
        for expected in (1, 2):
            assert await asyncio.to_thread(servers.run_blocking, Run(COUNT, ["n"], []), timeout=5) == expected

    async def test_bytes_that_are_no_text_are_written_out(self, servers: Servers) -> None:
        await servers.command("SET", "k", b"\xff")

        assert await servers.command("GET", "k") == "\\xff"

    async def test_the_first_error_comes_when_all_have_been_answered(self, servers: Servers) -> None:
        bad = script("return redis.error_reply('ODD ' .. KEYS[1])")

        with pytest.raises(Refused, match="ODD a"):
            await servers.run_all([Run(bad, ["a"], []), Run(COUNT, ["n"], []), Run(bad, ["b"], [])])

        assert await servers.command("GET", "n") == "1"

    async def test_keys_are_found(self, servers: Servers) -> None:
        for key in ("x1", "x2", "y"):
            await servers.command("SET", key, "")

        assert sorted(await servers.scan("x*", 1000)) == ["x1", "x2"]


class TestFaults:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("LOADING Redis is loading", "it is still loading its data."),
            (
                "READONLY You can't write against a read only replica. script: 1f, on @user_script:1.",
                "it takes no writes",
            ),
            (
                "ERR Error running script (call to f_1): @user_script: 1: -OOM command not allowed",
                "its maxmemory is reached",
            ),
            ("NOPERM User x has no permissions", "its user may not do this: User x has no permissions."),
            ("ERR max number of clients reached", "it has as many clients as it takes"),
        ],
    )
    def test_a_server_in_trouble(self, text: str, reason: str) -> None:
        error = Refusal(text).error("redis://a")

        assert isinstance(error, StoreUnavailable)
        assert not isinstance(error, AnswerLost)
        assert str(error).startswith(f"the queue's store redis://a is not available: {reason}")

    async def test_a_wrong_password(self, redis: PrivateRedis) -> None:
        with pytest.raises(StoreUnavailable) as caught:
            await Servers(f"redis://:wr0ng@127.0.0.1:{redis.port}").open()

        assert "does not accept the user and password" in str(caught.value)
        assert "wr0ng" not in str(caught.value)

    async def test_nobody_there(self) -> None:
        servers = Servers("redis://127.0.0.1:1")
        with pytest.raises(StoreUnavailable) as caught:
            await servers.open()

        assert not isinstance(caught.value, AnswerLost)

    async def test_a_server_that_comes_after_its_clients(self) -> None:
        """Once it is there, threads reach it as well as the event loop: leases are extended by a thread."""
        own = PrivateRedis()
        servers = Servers(str(own.url))
        with pytest.raises(StoreUnavailable):
            await servers.open()
        with own:
            await servers.open()
            assert await servers.run(Run(COUNT, ["n"], [])) == 1
            assert await asyncio.to_thread(servers.run_blocking, Run(COUNT, ["n"], []), timeout=5) == 2
            await servers.close()

    async def test_before_open_and_after_close(self) -> None:
        servers = Servers("redis://127.0.0.1:1")
        await servers.close()
        with pytest.raises(StoreUnavailable, match="it is not open"):
            await servers.command("PING")
        with pytest.raises(StoreUnavailable, match="it is not open"):
            servers.run_blocking(Run(COUNT, ["n"], []), timeout=1)

    async def test_a_full_memory(self) -> None:
        with PrivateRedis(maxmemory="1mb") as own:
            servers = Servers(str(own.url))
            await servers.open()
            with pytest.raises(StoreUnavailable, match="its maxmemory is reached"):
                await servers.run(Run(script("return redis.call('SET', KEYS[1], ARGV[1])"), ["k"], ["x" * 2_000_000]))
            await servers.close()

    async def test_a_restarted_server_costs_nobody_an_answer(self) -> None:
        """Connections that the server has closed are not used again."""
        with PrivateRedis() as own:
            servers = Servers(str(own.url))
            await servers.open()
            await asyncio.gather(*(servers.command("PING") for _ in range(5)))
            await asyncio.to_thread(servers.run_blocking, Run(COUNT, ["n"], []), timeout=5)
            await asyncio.to_thread(own.restart)

            assert await servers.run(Run(COUNT, ["n"], [])) == 1
            assert await asyncio.to_thread(servers.run_blocking, Run(COUNT, ["n"], []), timeout=5) == 2
            await servers.close()

    async def test_a_silent_server_loses_the_answer_and_runs_it_once(self) -> None:
        with PrivateRedis() as own:
            servers = Servers(f"{own.url}?socket_timeout=0.3")
            await servers.open()
            await servers.run(Run(COUNT, ["n"], []))
            await asyncio.to_thread(servers.run_blocking, Run(COUNT, ["n"], []), timeout=5)
            own.freeze()
            with pytest.raises(AnswerLost):
                await servers.run(Run(COUNT, ["n"], []))
            with pytest.raises(AnswerLost):
                await asyncio.to_thread(servers.run_blocking, Run(COUNT, ["n"], []), timeout=0.3)
            own.thaw()

            await wait_until(lambda: own.ask("GET", "n") == "4")
            assert await servers.run(Run(COUNT, ["n"], [])) == 5
            await servers.close()

    async def test_a_cut_connection_loses_the_answer(self, redis: PrivateRedis) -> None:
        with TcpProxy(redis.url) as proxy:
            servers = Servers(f"redis://:s3cret@127.0.0.1:{proxy.port}")
            await servers.open()
            proxy.blackhole(acknowledge=True)
            waiting = asyncio.ensure_future(servers.run(Run(COUNT, ["cut"], [])))
            await wait_until(lambda: not servers._pools[Node("127.0.0.1", proxy.port)]._idle)
            proxy.cut()
            with pytest.raises(AnswerLost):
                await waiting
            await servers.close()


async def test_cancelled_tasks_leave_nothing_behind(redis: PrivateRedis, servers: Servers) -> None:
    """Whoever comes next gets the answer to its own question, by connections of which there are never too many."""
    chance = random.Random(7)

    async def ask(number: int) -> None:
        assert await servers.run(Run(ECHO, [f"k{number}"], [number])) == [f"k{number}", str(number), 7, None]

    for round_ in range(150):
        tasks = [asyncio.ensure_future(ask(round_ * 10 + number)) for number in range(8)]
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 5):
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError)

    await asyncio.gather(*map(ask, range(20)))
    pool = servers._pools[Node("127.0.0.1", redis.port)]
    assert pool._free._value == 3
    assert len(pool._idle) <= 3
    with redis.client() as client:
        await wait_until(lambda: len(client.client_list()) <= 4)


class TestHearing:
    async def test_messages(self, servers: Servers) -> None:
        heard: list[tuple[str, str]] = []
        ready = asyncio.Event()
        listening = asyncio.ensure_future(servers.listen("a:*", lambda *said: heard.append(said), ready.set))
        await ready.wait()
        await servers.command("PUBLISH", "a:1", "hello")
        await servers.command("PUBLISH", "b:1", "unheard")
        await servers.command("PUBLISH", "a:2", "end")
        await wait_until(lambda: len(heard) == 2)

        assert heard == [("a:1", "hello"), ("a:2", "end")]
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening

    async def test_a_server_that_goes(self) -> None:
        with PrivateRedis() as own:
            servers = Servers(str(own.url))
            await servers.open()
            ready = asyncio.Event()
            listening = asyncio.ensure_future(servers.listen("a", lambda *_: None, ready.set))
            await ready.wait()
            await asyncio.to_thread(own.kill)
            with pytest.raises(StoreUnavailable):
                await listening
            await servers.close()

    async def test_a_server_that_falls_silent(self) -> None:
        with PrivateRedis() as own:
            ready = asyncio.Event()
            address = address_of(str(own.url))
            listening = asyncio.ensure_future(
                hear(address, address.nodes[0], "a", tell=lambda *_: None, ready=ready.set, silence=0.2)
            )
            await ready.wait()
            own.freeze()
            with pytest.raises(StoreUnavailable, match="did not answer within"):
                await listening
            own.thaw()

    async def test_a_quiet_server_is_kept(self) -> None:
        """As long as it answers when it is asked, nobody has to say anything."""
        with PrivateRedis() as own:
            ready = asyncio.Event()
            address = address_of(str(own.url))
            listening = asyncio.ensure_future(
                hear(address, address.nodes[0], "a", tell=lambda *_: None, ready=ready.set, silence=0.2)
            )
            await ready.wait()
            await wait_until(lambda: own.info("commandstats")["cmdstat_ping"]["calls"] > 6)
            assert not listening.done()
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
