"""Where a process of a test run keeps jobs on Redis: a server of its own, in memory, or a database of one that is named."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
from typing import Any, Final

from sqlalchemy import URL

from servers.private import PrivateServer, binary
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


class PrivateRedis(PrivateServer):
    """A Redis server that keeps nothing on disk, unless it is told to.

    Args:
        settings: Of its own, such as ``appendonly="yes"``.
    """

    account = getpass.getuser()
    quick_stop = signal.SIGKILL

    def __init__(self, **settings: Any) -> None:
        binary("redis", "redis-server")
        super().__init__()
        self._settings: Final = {"bind": "127.0.0.1", "port": self.port, "save": "", "appendonly": "no", **settings}
        self.url = URL.create("redis", host="127.0.0.1", port=self.port, database="0")

    def prepare(self) -> None: ...

    def command(self) -> list[str]:
        options = [(f"--{name.replace('_', '-')}", str(value)) for name, value in self._settings.items()]
        return [binary("redis", "redis-server"), *sum(options, ()), "--dir", str(self.folder)]
