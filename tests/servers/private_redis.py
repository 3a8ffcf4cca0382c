"""Redis servers of a test's own: one, a master that sentinels watch, or a cluster of six.

As in ``private``, everything blocks, and a port stays the same for life.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final, Self

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import URL

from servers.private import PrivateServer, binary, free_port

MASTER: Final = "goosemaster"
"""What the sentinels call the master."""
SLOTS: Final = 16384
_DEADLINE: Final = 60.0


class PrivateRedis(PrivateServer):
    """A Redis server that keeps nothing on the disk unless told to.

    Args:
        settings: Of its own, such as ``appendonly="yes"``, ``maxmemory_policy="allkeys-lru"``.
    """

    account = "root"
    quick_stop = signal.SIGKILL

    def __init__(self, **settings: Any) -> None:
        binary("redis", "redis-server")
        super().__init__()
        self.settings: Final = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "appendonly": "no",
            "shutdown-timeout": 0,
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self.url = URL.create("redis", host="127.0.0.1", port=self.port)

    def prepare(self) -> None:
        """It makes its files itself."""

    def command(self) -> list[str]:
        options = [word for name, value in self.settings.items() for word in (f"--{name}", str(value))]
        return [binary("redis", "redis-server"), *options]

    def touch(self) -> None:
        """Return when it has loaded its data."""
        self.ask("PING")

    def ask(self, *words: Any) -> Any:
        """Send one command over a connection of its own."""
        with self.client() as client:
            return client.execute_command(*words)

    @contextmanager
    def client(self) -> Iterator[Redis]:
        """redis-py's own client, which tries nothing again."""
        password = self.settings.get("requirepass")
        options = {"password": password, "socket_timeout": 10, "decode_responses": True, "protocol": 2}
        with closing(Redis(host="127.0.0.1", port=self.port, retry=None, **options)) as client:
            yield client

    def info(self, section: str) -> dict[str, Any]:
        return self.ask("INFO", section)


class PrivateSentinel(PrivateRedis):
    """One that watches a master; it writes into its file what it learns."""

    def __init__(self, master: PrivateRedis) -> None:
        super().__init__()
        self._master: Final = master

    def prepare(self) -> None:
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {MASTER} 127.0.0.1 {self._master.port} 2",
            f"sentinel down-after-milliseconds {MASTER} 1000",
            f"sentinel failover-timeout {MASTER} 3000",
        ]
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [binary("redis", "redis-server"), str(self.folder / "sentinel.conf"), "--sentinel"]


class _Several:
    """Servers that belong together."""

    def __init__(self) -> None:
        self._stack: Final = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start them, and wait until they know each other."""
        raise NotImplementedError

    def _launch(self, servers: Sequence[PrivateRedis]) -> None:
        for server in servers:
            self._stack.callback(server.__exit__)
            server.prepare()
            server.launch()
        for server in servers:
            server.wait_until_ready()


class PrivateSentinels(_Several):
    """A master, its replicas, and three sentinels of which two are enough to name another master."""

    def __init__(self, replicas: int = 1, **settings: Any) -> None:
        super().__init__()
        quick = {"repl_diskless_sync_delay": 0, "repl_ping_replica_period": 1, **settings}
        self.servers: Final = [PrivateRedis(**quick)]
        place = f"127.0.0.1 {self.servers[0].port}"
        self.servers += [PrivateRedis(replicaof=place, **quick) for _ in range(replicas)]
        self.sentinels: Final = [PrivateSentinel(self.servers[0]) for _ in range(3)]
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        self.url: Final = f"redis+sentinel://{hosts}/{MASTER}"
        self.entrance: Final = f"redis+sentinel://127.0.0.1:{self.sentinels[0].port}/{MASTER}"
        """By way of one of them, as long as that lives."""

    @property
    def master(self) -> PrivateRedis:
        """Which server most of the sentinels call the master."""
        named = [int(each.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1]) for each in self.sentinels]
        port = max(named, key=named.count)
        return next(server for server in self.servers if server.port == port)

    def primaries(self) -> list[PrivateRedis]:
        """Those that take writes now."""
        return [self.master]

    def start(self) -> None:
        self._launch(self.servers)
        replicas = len(self.servers) - 1
        wait(lambda: all(each.info("replication")["master_link_status"] == "up" for each in self.servers[1:]))
        self._launch(self.sentinels)
        wait(lambda: all(self._knows(each, replicas) for each in self.sentinels))

    def _knows(self, sentinel: PrivateRedis, replicas: int) -> bool:
        pairs = iter(sentinel.ask("SENTINEL", "MASTER", MASTER))
        found = dict(zip(pairs, pairs, strict=True))
        return (int(found["num-slaves"]), int(found["num-other-sentinels"])) == (replicas, 2)


class PrivateCluster(_Several):
    """Three primaries with a replica each: ``nodes[:3]`` and ``nodes[3:]``, in the same order, at first."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.nodes: Final = [_node(**settings) for _ in range(6)]
        self.url: Final = f"redis+cluster://127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[1].port}"
        self.entrance: Final = f"redis+cluster://127.0.0.1:{self.nodes[0].port}"
        """By way of one of them, as long as that lives."""

    def start(self) -> None:
        self._launch(self.nodes)
        ids = [each.ask("CLUSTER", "MYID") for each in self.nodes]
        for index, primary in enumerate(self.nodes[:3]):
            first, last = index * SLOTS // 3, (index + 1) * SLOTS // 3 - 1
            primary.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            primary.ask("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].settings["cluster-port"])
        wait(lambda: all(_info(each)["cluster_known_nodes"] == "6" for each in self.nodes))
        for replica, primary in zip(self.nodes[3:], ids[:3], strict=True):
            wait(lambda replica=replica, primary=primary: _done(replica, "CLUSTER", "REPLICATE", primary))
        wait(lambda: all(_info(each)["cluster_state"] == "ok" for each in self.nodes))
        wait(lambda: all(each.info("replication").get("master_link_status") == "up" for each in self.nodes[3:]))
        # Each range is its two ends, its primary and its replicas.
        wait(lambda: all(len(part) == 4 for node in self.nodes for part in node.ask("CLUSTER", "SLOTS")))

    def owner(self, slot: int) -> PrivateRedis:
        """Who has a slot, as most of those that answer see it."""
        seen = [port for first, last, port in self._ranges() if first <= slot <= last]
        return next(node for node in self.nodes if node.port == max(seen, key=seen.count))

    def primaries(self) -> list[PrivateRedis]:
        """Those that take writes now."""
        owners = {self.owner(first).port for first, _, _ in self._ranges()}
        return [node for node in self.nodes if node.port in owners]

    def _ranges(self) -> list[tuple[int, int, int]]:
        """First slot, last slot and the primary's port, as each node that answers sees them."""
        found = []
        for node in self.nodes:
            try:
                ranges = node.ask("CLUSTER", "SLOTS")
            except (RedisError, OSError):
                continue
            found += [(first, last, primary[1]) for first, last, primary, *_ in ranges]
        return found

    def begin_move(self, slot: int, target: PrivateRedis) -> PrivateRedis:
        """Have a slot's owner send away whoever asks for a key that it has given away; return the owner."""
        source = self.owner(slot)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))
        return source

    def move_keys(self, source: PrivateRedis, target: PrivateRedis, *keys: str) -> None:
        """Take keys from one node to another, all at once."""
        source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def end_move(self, slot: int, source: PrivateRedis, target: PrivateRedis) -> None:
        """Make the target the slot's owner, with what keys of it are still elsewhere."""
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            self.move_keys(source, target, *keys)
        owner = target.ask("CLUSTER", "MYID")
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", owner)


def _node(**settings: Any) -> PrivateRedis:
    return PrivateRedis(
        cluster_enabled="yes",
        cluster_port=free_port(),
        cluster_node_timeout=1000,
        cluster_replica_validity_factor=0,
        repl_diskless_sync_delay=0,
        repl_ping_replica_period=1,
        **settings,
    )


def wait(condition: Callable[[], Any]) -> None:
    """Return as soon as the condition holds."""
    end = time.monotonic() + _DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {_DEADLINE:g} s: {condition}")
        time.sleep(0.02)


def _done(server: PrivateRedis, *words: Any) -> bool:
    try:
        server.ask(*words)
    except RedisError:
        # It has not heard of the other one yet.
        return False
    return True


def _info(server: PrivateRedis) -> dict[str, str]:
    return dict(line.split(":", 1) for line in server.ask("CLUSTER", "INFO").splitlines())
