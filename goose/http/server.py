"""Server: uvicorn, with signals, boot and shutdown left to ``serving``, which starts one for each platform."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import LOGGING_CONFIG

from goose.log import shown


class Server(uvicorn.Server):
    """Serves one ASGI application until ``should_exit`` is set, then finishes the requests in flight.

    Args:
        app: What is served.
        host: The address to listen on.
        port: The port to listen on.
        timeout: Seconds that a request may take; one more is granted to those in flight at the end. None: no limit.
        sockets: Bound ones to listen on, instead of host and port.
    """

    def __init__(
        self, app: ASGIApp, host: str, port: int, timeout: float | None, sockets: Sequence[socket.socket] = ()
    ) -> None:
        self.tried = asyncio.Event()
        """Set once requests are taken, or cannot be."""
        grace = None if timeout is None else math.ceil(timeout) + 1
        self._sockets = list(sockets) or None
        style = shown()
        # Its own lines would be no JSON, and would not tell one process from another: the root logger shows them instead.
        plain = style is None or not (style.as_json or style.number)
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                lifespan="off",
                timeout_graceful_shutdown=grace,
                log_config=LOGGING_CONFIG if plain else None,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve(self, sockets: Any = None) -> None:
        await super().serve(sockets or self._sockets)

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            where = f"{self.config.host}:{self.config.port}"
            raise OSError(f"cannot listen on {where}: the address is in use or not allowed") from error
        finally:
            self.tried.set()
