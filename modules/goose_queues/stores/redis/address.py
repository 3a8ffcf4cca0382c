"""From a URL as people write it to where it leads: one server, sentinels and their master, or a cluster.

``servers`` makes one ``Address`` of its URL; what is wrong with it is said before anything is connected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from goose_queues.errors import ConfigError
from goose_queues.redact import MASK, is_secret, mask_secrets

Kind: TypeAlias = Literal["single", "sentinel", "cluster"]

EXAMPLES: Final[Mapping[Kind, str]] = {
    "single": "redis://user:password@host:6379/0",
    "sentinel": "redis+sentinel://user:password@host:26379,host:26379/mymaster/0",
    "cluster": "redis+cluster://user:password@host:6379,host:6379",
}
_KINDS: Final[Mapping[str, Kind]] = {"": "single", "sentinel": "sentinel", "cluster": "cluster"}
_SENTINEL_PORT: Final = 26379
_PORT: Final = 6379
_DATABASE: Final = re.compile(r"/?(\d{0,9})/?\Z")
_MASTER: Final = re.compile(r"/([^/]+)(?:/(\d{0,9}))?/?\Z")
_OPTIONS: Final = frozenset(
    {
        "client_name",
        "db",
        "password",
        "sentinel_password",
        "sentinel_username",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "socket_timeout",
        "username",
    }
)
"""What may stand behind the ``?``, beside what begins with ``ssl_``; everything else is this store's own decision."""


@dataclass(frozen=True, slots=True)
class Node:
    """One server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads."""

    kind: Kind
    nodes: tuple[Node, ...]
    """The server; the sentinels; some nodes of the cluster."""
    service: str
    """What the sentinels call the master; empty elsewhere."""
    is_tls: bool
    options: Mapping[str, Any]
    """What redis-py's connections take: user, password, database, TLS."""
    sentinel_options: Mapping[str, Any]
    """The same for connections to sentinels."""
    connect_timeout: float | None
    answer_timeout: float | None
    """In seconds, where the URL says it."""
    text: str
    """The URL with its passwords masked."""

    def without_secrets(self, text: str) -> str:
        """Somebody else's words without the passwords."""
        for options in (self.options, self.sentinel_options):
            if password := options.get("password"):
                text = text.replace(password, MASK)
        return mask_secrets(text)


def address_of(url: str) -> Address:
    """Read a URL and check that it can be used.

    Raises:
        ConfigError: It cannot.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _unreadable(url) from None
    shown = _masked(url, parts)
    scheme, _, suffix = parts.scheme.partition("+")
    kind = _KINDS.get(suffix)
    if kind is None or scheme not in ("redis", "rediss"):
        raise ConfigError(f"url={shown!r}: write it like one of {', '.join(EXAMPLES.values())}")
    credentials, _, hosts = parts.netloc.rpartition("@")
    if parts.fragment:
        raise ConfigError(f"url={shown!r}: write # as %23")
    try:
        nodes = tuple(_node(host, _SENTINEL_PORT if kind == "sentinel" else _PORT) for host in hosts.split(","))
    except ValueError:
        raise ConfigError(f"url={shown!r}: a host or port in it cannot be read: {EXAMPLES[kind]}") from None
    if kind == "single" and len(nodes) > 1:
        raise ConfigError(f"url={shown!r}: for several servers write redis+cluster:// or redis+sentinel://")
    service, database = _path(kind, parts.path, shown)
    options = {**_credentials(credentials), "db": database, **_query(scheme, parts.query, shown)}
    if kind == "cluster" and options["db"]:
        raise ConfigError(f"url={shown!r}: a cluster has database 0 only")
    sentinel = {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    connect_timeout, answer_timeout = options.pop("socket_connect_timeout", None), options.pop("socket_timeout", None)
    common = {name: value for name, value in options.items() if name not in ("username", "password", "db")}
    return Address(
        kind,
        nodes,
        service,
        scheme == "rediss",
        options,
        {**common, **sentinel},
        connect_timeout,
        answer_timeout,
        shown,
    )


def _unreadable(url: str) -> ConfigError:
    return ConfigError(f"url={mask_secrets(url)!r}: it cannot be read: {EXAMPLES['single']}")


def _masked(url: str, parts: SplitResult) -> str:
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, MASK if is_secret(name) else value) for name, value in pairs], safe="*/:")
    shown = f"{parts.scheme}://{user}{colon}{MASK if colon else ''}{at}{hosts}{parts.path}{'?' if query else ''}{query}"
    # A password with a / or # in it ends where no parser expects it.
    return shown if at or "@" not in url else mask_secrets(url)


def _node(text: str, port: int) -> Node:
    parts = urlsplit(f"//{text}")
    if parts.path or parts.query or (not parts.hostname and text not in ("", f":{parts.port}")):
        raise ValueError(text)
    return Node(unquote(parts.hostname or "localhost"), parts.port or port)


def _path(kind: Kind, path: str, shown: str) -> tuple[str, int]:
    """The master's name, and the number of the database."""
    if kind != "sentinel":
        found = _DATABASE.match(path)
        if not found:
            raise ConfigError(f"url={shown!r}: the path is the number of a database: {EXAMPLES[kind]}")
        return "", int(found.group(1) or 0)
    named = _MASTER.match(path)
    if not named:
        raise ConfigError(f"url={shown!r}: the path names the master that the sentinels watch: {EXAMPLES[kind]}")
    return unquote(named.group(1)), int(named.group(2) or 0)


def _credentials(text: str) -> dict[str, str]:
    user, _, password = text.partition(":")
    given = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in given.items() if value}


def _query(scheme: str, query: str, shown: str) -> dict[str, Any]:
    """The options as redis-py reads them."""
    from redis.asyncio.connection import parse_url

    try:
        options = dict(parse_url(f"{scheme}://localhost?{query}"))
    except ValueError as error:
        raise ConfigError(f"url={shown!r}: {error}") from None
    for name in ("host", "connection_class"):
        options.pop(name, None)
    for name in options:
        if name not in _OPTIONS and not (name.startswith("ssl_") and scheme == "rediss"):
            known = ", ".join(sorted(_OPTIONS))
            raise ConfigError(f"url={shown!r}: {name} is no option here. It takes {known}, and with rediss:// ssl_...")
    return options
