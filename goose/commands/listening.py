"""Sockets that one process binds and others listen on. Used by ``run``."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack

from goose.commands.errors import CommandError


def bind(host: str, port: int) -> list[socket.socket]:
    """A socket for each address that the host has; port 0 takes a free one, the same for all.

    Raises:
        CommandError: The address is in use or not allowed.
    """
    with ExitStack() as undone:
        bound: list[socket.socket] = []
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, address in dict.fromkeys(found):
                each = undone.enter_context(socket.socket(family, kind, protocol))
                if os.name == "posix" and sys.platform != "cygwin":
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                each.bind((address[0], port_of(bound) if bound else port, *address[2:]))
                bound.append(each)
        except OSError as error:
            raise CommandError(f"cannot listen on {host}:{port}: the address is in use or not allowed") from error
        undone.pop_all()
        return bound


def port_of(bound: list[socket.socket]) -> int:
    """The port that they have."""
    port: int = bound[0].getsockname()[1]
    return port
