"""A TCP proxy whose line can be cut, slowed down or made to swallow everything. Runs in a thread and loop of its own."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from sqlalchemy import URL

T = TypeVar("T")

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_DROP: Final = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
"""The socket filter "ret #0": every packet is dropped before TCP sees it, so that it is not acknowledged either."""


class TcpProxy:
    """``with TcpProxy(url) as proxy: connect(proxy.url)``; starts by passing everything through.

    Its methods may be called from any thread, or from a test's own event loop.
    """

    def __init__(self, url: URL) -> None:
        self._target: Final = (
            url.host or "127.0.0.1",
            url.port or {"postgresql": 5432}.get(url.get_backend_name(), 3306),
        )
        self._url: Final = url
        self._listener: Final = socket.create_server(("127.0.0.1", 0))
        self._lines: Final[set[_Line]] = set()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._is_swallowing = False
        self._is_open: Final = asyncio.Event()
        self._delay = 0.0
        self._is_breaking = False
        self.broken: Final[list[bytes]] = []
        """What clients had sent to which they never got the answer, by ``break_next``."""
        self.accepted = 0
        """Connections so far."""
        self.pieces = 0
        """What clients have sent so far; of one that waits for each answer, its round trips."""

    @property
    def url(self) -> URL:
        """The target's URL, by way of the proxy."""
        return self._url.set(host="127.0.0.1", port=self.port)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def lines(self) -> int:
        """Connections that are open."""
        return len(self._lines)

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._is_open.set()
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._listener.close()

    def blackhole(self, *, acknowledge: bool = False) -> None:
        """From now on nothing is accepted and nothing forwarded, and nobody is told.

        Args:
            acknowledge: Packets are still acknowledged, as by a machine whose server is frozen; else they vanish, as on
                a line that is cut.
        """
        self._do(self._swallow(acknowledge=acknowledge))

    def delay(self, seconds: float) -> None:
        """From now on every piece takes so much longer, in either direction."""
        self._delay = seconds

    def cut(self) -> None:
        """Reset every connection; new ones are accepted."""
        self._do(self._cut())

    def break_next(self) -> None:
        """Reset the next connection on which the server answers, without the answer."""
        self._is_breaking = True

    def pass_through(self) -> None:
        """Forward everything again, also what was held back; undoes ``blackhole`` and ``delay``."""
        self._delay = 0.0
        self._do(self._resume())

    def breaks(self, asked: bytes) -> bool:
        """Whether the answer to this is the one that is not to arrive."""
        if self._is_breaking:
            self._is_breaking = False
            self.broken.append(asked)
            return True
        return False

    async def held(self) -> None:
        """Wait while nothing is to be forwarded, then for the delay."""
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._is_open.wait()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        self._own(self._accept())

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _swallow(self, *, acknowledge: bool) -> None:
        self._is_open.clear()
        self._is_swallowing = not acknowledge
        if self._is_swallowing:
            for each in (self._listener, *(line.client for line in self._lines)):
                _drop_packets(each)

    async def _resume(self) -> None:
        if self._is_swallowing:
            self._is_swallowing = False
            for each in (self._listener, *(line.client for line in self._lines)):
                with suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        self._is_open.set()

    async def _cut(self) -> None:
        cut = [line.reset() for line in self._lines]
        await asyncio.gather(*cut, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            await self.held()
            client, _ = await self._loop.sock_accept(self._listener)
            try:
                await self.held()
            except BaseException:
                client.close()
                raise
            self.accepted += 1
            self._own(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        client.setblocking(False)
        server = socket.socket()
        server.setblocking(False)
        line = _Line(self, client, server, asyncio.current_task())
        try:
            await self._loop.sock_connect(server, self._target)
            self._lines.add(line)
            async with asyncio.TaskGroup() as both:
                both.create_task(line.forward(client, server))
                both.create_task(line.forward(server, client))
        except* OSError:
            pass
        finally:
            # Only now does nothing wait on the two sockets any more, whose numbers others will have next.
            self._lines.discard(line)
            line.close()

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Line:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(
        self, proxy: TcpProxy, client: socket.socket, server: socket.socket, task: asyncio.Task[None] | None
    ) -> None:
        self.client: Final = client
        self.server: Final = server
        self._proxy: Final = proxy
        self._task: Final = task
        self._asked = b""

    async def forward(self, source: socket.socket, sink: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for each in (source, sink):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while piece := await loop.sock_recv(source, 65536):
            if source is self.client:
                self._proxy.pieces += 1
                self._asked = piece
            elif self._proxy.breaks(self._asked):
                self.reset()
                return
            await self._proxy.held()
            await loop.sock_sendall(sink, piece)
        await self._proxy.held()
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def reset(self) -> asyncio.Task[None]:
        for each in (self.client, self.server):
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._task is None:
            raise RuntimeError("a line belongs to a task")
        self._task.cancel()
        return self._task

    def close(self) -> None:
        self.client.close()
        self.server.close()


def _drop_packets(each: socket.socket) -> None:
    with suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(_DROP)))
