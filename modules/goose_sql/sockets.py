"""The socket under a driver's connection: what can be known of it without asking the server, and how it is kept honest.

Used by ``server_engine`` and ``watching``. The drivers (psycopg, asyncpg, asyncmy, aiomysql) keep it in different places.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from contextlib import closing, suppress
from typing import Any, Final

_IDLE: Final = 5
_INTERVAL: Final = 3
_PROBES: Final = 2
_UNACKNOWLEDGED: Final = 10_000
"""Milliseconds. With the three above: a peer that is not there any more is noticed after 10 to 11 s, waiting or sending."""

_CLOSED: Final = -1


def fileno_of(driver: Any) -> int | None:
    """The file descriptor of a connection; negative when it is closed, None for a driver that does not show it."""
    if hasattr(driver, "pgconn"):
        return _CLOSED if driver.closed else int(driver.pgconn.socket)
    if hasattr(driver, "_transport"):
        transport = driver._transport  # noqa: SLF001 - asyncpg and asyncmy have no public name for it
    elif hasattr(driver, "_writer"):
        transport = getattr(driver._writer, "transport", None)  # noqa: SLF001 - nor has aiomysql
    else:
        return None
    if transport is None or transport.is_closing():
        return _CLOSED
    found = transport.get_extra_info("socket")
    return None if found is None else int(found.fileno())


def has_news(fileno: int) -> bool:
    """Whether a socket at rest has something to read: its end, or the server's last words. Either way it is done for."""
    if sys.platform == "win32":
        return bool(select.select([fileno], [], [], 0)[0])
    poll = select.poll()
    poll.register(fileno, select.POLLIN | select.POLLPRI)
    return bool(poll.poll(0))


def keep_alive(fileno: int) -> None:
    """Have the kernel find out by itself that the other side is gone; as far as it can."""
    with suppress(OSError), closing(_socket(fileno)) as own:
        if own.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", _IDLE),
            ("TCP_KEEPINTVL", _INTERVAL),
            ("TCP_KEEPCNT", _PROBES),
            ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED),
        ):
            if (option := getattr(socket, name, None)) is not None:
                own.setsockopt(socket.IPPROTO_TCP, option, value)


def break_off(driver: Any) -> None:
    """End a connection without a word to the server: whoever waits for an answer on it sees its end at once."""
    fileno = fileno_of(driver)
    if fileno is not None and fileno >= 0:
        with suppress(OSError), closing(_socket(fileno)) as own:
            own.shutdown(socket.SHUT_RDWR)


def _socket(fileno: int) -> socket.socket:
    return socket.socket(fileno=os.dup(fileno))
