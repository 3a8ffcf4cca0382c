"""What is refused when the store is opened: servers that would lose jobs, and keys that are somebody else's."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Final

from goose_queues.errors import ConfigError, StoreUnavailable
from goose_queues.stores.mark import MARK
from goose_queues.stores.redis.errors import Refused, UnsupportedServer
from goose_queues.stores.redis.servers import Servers

log = logging.getLogger("goose_queues.store")

LAYOUT: Final = "1"
"""The version of what the keys hold, as this code was written for."""
_OLDEST: Final = (6, 2)
_LOOKED_AT: Final = 100_000
"""Keys, on a server that has other things as well."""


async def refuse(servers: Servers, prefix: str) -> None:
    """Raise what stands against working with these servers; else have the prefix be the queue's own from now on.

    Raises:
        UnsupportedServer: One of them is too old.
        ConfigError: One of them is a replica, may throw jobs away, or is no such server as the URL says; or the prefix
            is not the queue's.
    """
    for text in await servers.each_node("INFO"):
        facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        _refuse_kind(servers, facts)
        _refuse_version(servers, facts)
        _refuse_policy(servers, facts.get("maxmemory_policy") or await _policy(servers))
    await _refuse_prefix(servers, prefix)
    await servers.command("HSETNX", f"{prefix}queues", "", LAYOUT)


def _refuse_kind(servers: Servers, facts: Mapping[str, str]) -> None:
    if facts.get("role") == "slave":
        raise ConfigError(f"{servers.url} is a replica, which takes no writes: name the primary server")
    if facts.get("cluster_enabled") == "1" and not servers.is_cluster:
        raise ConfigError(f"{servers.url} is one node of a cluster: write redis+cluster://")


def _refuse_version(servers: Servers, facts: Mapping[str, str]) -> None:
    # Valkey began at 7.2, and goes on saying here which Redis it is like.
    found = facts.get("redis_version", "0")
    if tuple(int(number) for number in re.findall(r"\d+", found)[:2]) < _OLDEST:
        raise UnsupportedServer(servers.url, found, ".".join(map(str, _OLDEST)))


def _refuse_policy(servers: Servers, policy: str | None) -> None:
    if policy is None:
        log.warning(
            "Nobody may ask for the maxmemory-policy of %s: make sure that it is noeviction, else jobs get lost",
            servers.url,
        )
    elif policy != "noeviction":
        raise ConfigError(
            f"{servers.url} has maxmemory-policy {policy}, by which it throws jobs away when its memory is full: "
            "set maxmemory-policy noeviction"
        )


async def _policy(servers: Servers) -> str | None:
    """The policy, as a server says it that leaves it out elsewhere."""
    try:
        answers = await servers.each_node("CONFIG", "GET", "maxmemory-policy")
    except (Refused, StoreUnavailable):
        return None
    found = {answer[1] for answer in answers if len(answer) > 1}
    return next(iter(found - {"noeviction"}), "noeviction" if found else None)


async def _refuse_prefix(servers: Servers, prefix: str) -> None:
    key = f"{prefix}queues"
    kind = await servers.command("TYPE", key)
    if kind not in ("none", "hash"):
        raise _foreign(servers, prefix, key)
    version = await servers.command("HGET", key, "")
    if version not in (None, LAYOUT):
        raise ConfigError(
            f"{servers.url} has the queue's keys in version {version}, this process knows version {LAYOUT}: "
            "use the goose-framework that wrote them, or another table_prefix"
        )
    if kind == "none":
        own = re.compile(rf"{re.escape(prefix)}(?:\{{[^}}]+\}}:(?:index|data)\Z|bench_{MARK}[qr]_)")
        for found in await servers.scan(f"{prefix}*", _LOOKED_AT):
            if not own.match(found):
                raise _foreign(servers, prefix, found)


def _foreign(servers: Servers, prefix: str, key: str) -> ConfigError:
    return ConfigError(
        f"{servers.url} has a key {key!r} that is not the queue's, though it begins with {prefix!r}: "
        "give the queue a table_prefix of its own"
    )
