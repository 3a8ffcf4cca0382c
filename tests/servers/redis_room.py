"""Where a process of a test run keeps jobs on Redis: a server of its own, in memory, or a database of one that is named."""

from __future__ import annotations

import os
import shutil
from typing import Any, Final

from sqlalchemy import URL

from servers.private_redis import PrivateRedis
from servers.shared import connect


def redis_is_installed() -> bool:
    """Whether a test can start a server."""
    return shutil.which("redis-server") is not None


class NamedRoom:
    """A database of a server that others may use as well: the one that the URL names, or as many further on as there are
    processes before this one in the test run.
    """

    def __init__(self, url: URL) -> None:
        number = int(url.database or 0) + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        self.url: Final = url.set(database=str(number))
        self._client: Any = None

    def empty(self) -> None:
        """Take every key out of it."""
        if self._client is None:
            self._client = connect(self.url)
        self._client.flushdb()

    def clear(self) -> None:
        """The same: there is nothing besides."""
        self.empty()

    def drop(self) -> None:
        self.empty()
        self._client.close()


class PrivateRoom(NamedRoom):
    """A server that this process starts, and that ends with it."""

    def __init__(self) -> None:
        self._server: Final = PrivateRedis()
        self._server.__enter__()
        super().__init__(self._server.url)

    def drop(self) -> None:
        self._server.__exit__()
