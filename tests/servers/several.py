"""Redis on several servers, for tests that do them no harm: started once by each process of a test run, emptied between."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from servers.private_redis import PrivateCluster, PrivateSentinels
from servers.shared import connect

Several: TypeAlias = PrivateCluster | PrivateSentinels


@functools.cache
def _started(kind: Callable[[], Several]) -> Several:
    servers = kind()
    servers.__enter__()
    atexit.register(servers.__exit__)
    return servers


_KINDS: Final[Mapping[str, Callable[[], Several]]] = {"sentinel": PrivateSentinels, "cluster": PrivateCluster}
SEVERAL: Final = tuple(_KINDS)
"""The names by which tests are parametrised."""


def several(name: str) -> Several:
    """The servers of this process, empty."""
    servers = _started(_KINDS[name])
    for client in _clients(servers):
        client.flushall()
    return servers


@functools.cache
def _clients(servers: Several) -> list[Any]:
    clients = [connect(primary.url) for primary in servers.primaries()]
    for client in clients:
        atexit.register(client.close)
    return clients
