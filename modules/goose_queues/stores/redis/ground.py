"""Where ``goose queue bench`` measures Redis: under keys of its own beside the application's, deleted at the end.

The server's own limit is one stream and one group of readers, at least once, with no queue around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from goose_queues.stores.mark import KEPT, new_mark, queue_prefix, raw_prefix
from goose_queues.stores.redis.servers import Servers
from goose_queues.stores.redis.steps import Words

_GROUP: Final = "group"
_READER: Final = "reader"


class RedisGround:
    """Keys that are made when it is opened, and deleted when it is closed.

    They expire after a day, should the bench be killed.

    Args:
        url: Of the application's queue.
        prefix: What the names of its keys begin with.
        queue: The bench's queue.
    """

    def __init__(self, url: str, *, prefix: str, queue: str) -> None:
        mark = new_mark()
        self.url: Final = url
        self.prefix: Final = queue_prefix(prefix, mark)
        self._servers: Final = Servers(url, pool_size=2)
        self.shown: Final = self._servers.url
        self._stream: Final = f"{raw_prefix(prefix, mark)}{{{queue}}}:stream"
        self._keys: Final = (
            self._stream,
            f"{self.prefix}queues",
            f"{self.prefix}{{{queue}}}:index",
            f"{self.prefix}{{{queue}}}:data",
        )
        self._is_made = False

    async def open(self) -> None:
        """Make the stream.

        Raises:
            StoreUnavailable: The server does not answer, or its user may not have such keys.
        """
        await self._servers.open()
        self._is_made = True
        await self._send([("XGROUP", "CREATE", self._stream, _GROUP, "0", "MKSTREAM")])
        await self.settle_in()

    async def close(self) -> None:
        """Delete every key; also where opening it has failed."""
        try:
            if self._is_made:
                for key in self._keys:
                    await self._servers.command("UNLINK", key)
        finally:
            await self._servers.close()

    async def facts(self) -> Mapping[str, str]:
        """The server's version, and how durable what it has acknowledged is."""
        text = await self._servers.command("INFO")
        facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        kind = "valkey" if "valkey_version" in facts else "redis"
        aof = {"0": "no", "1": "yes"}.get(facts.get("aof_enabled", ""), "unknown")
        return {"server": f"{kind.capitalize()} {facts.get(f'{kind}_version', 'unknown')}", "appendonly": aof}

    async def insert(self, payloads: Sequence[str], at_once: int) -> None:
        """Add entries, so many in each round trip."""
        for first in range(0, len(payloads), at_once):
            chunk = payloads[first : first + at_once]
            await self._send([("XADD", self._stream, "*", "job", payload) for payload in chunk])

    async def settle_in(self) -> None:
        """Have what there is by now expire, should nobody come back to delete it."""
        for key in self._keys:
            await self._servers.command("EXPIRE", key, KEPT)

    async def drain(self, at_once: int) -> int:
        """Read so many entries and acknowledge them, until none is left; how many there were."""
        drained = 0
        while ids := await self._read(at_once):
            drained += (await self._send([("XACK", self._stream, _GROUP, *ids)]))[0]
        return drained

    async def pass_one(self, payload: str) -> None:
        """Add one entry and read it."""
        await self.insert([payload], 1)
        await self._read(1)

    async def _read(self, count: int) -> list[str]:
        words = ("XREADGROUP", "GROUP", _GROUP, _READER, "COUNT", count, "STREAMS", self._stream, ">")
        found = (await self._send([words]))[0] or ()
        return [entry for _, entries in found for entry, _ in entries]

    async def _send(self, commands: Sequence[Words]) -> list[Any]:
        return await self._servers.commands(self._stream, commands)
