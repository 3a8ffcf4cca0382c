"""``start()``: a whole process from boot to a graceful end; ``running()``: the same without a server, for scripts.

``start`` listens for SIGINT and SIGTERM: the first stops gracefully, a second ends the process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from goose.errors import GooseError
from goose.instance import Instance, boot, stop
from goose.kernel import Kernel
from goose.log import complain
from goose.module import Module

if TYPE_CHECKING:
    from goose.http.server import Server

log = logging.getLogger("goose.serving")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def start(*instances: Instance) -> None:
    """Boot, serve until SIGINT or SIGTERM, then stop gracefully: requests in flight and running jobs are finished.

    Instances that share a module instance are booted as one application, so that it does its work once.

    Raises:
        SystemExit: The application could not start or stop properly; the reason has been printed in one line.
    """
    if not instances:
        raise TypeError("start() takes at least one instance: goose.start(api(platform, module))")
    if _loop_runs():
        raise RuntimeError(
            'start() blocks, and an event loop runs here already: call it under `if __name__ == "__main__":`, '
            "or use goose.running() in async code"
        )
    try:
        asyncio.run(serve(instances))
    except (GooseError, OSError) as error:
        log.debug("the application failed", exc_info=error)
        complain(str(error))
        raise SystemExit(1) from error


@contextlib.asynccontextmanager
async def running(
    *instances: Instance, background: bool = False, overrides: Mapping[Any, Any] | None = None
) -> AsyncIterator[Kernel]:
    """Boot an instance without a server, for scripts and tests; it is stopped at the end of the block.

    Args:
        instances: What ``api()`` or ``worker()`` made; several are booted as one application.
        background: True: start its background work (workers) too.
        overrides: Ready objects by key, in place of what the modules declare.

    Raises:
        GooseError: It could not be booted; everything has been undone.
    """
    if not instances:
        raise TypeError("running() takes at least one instance: goose.running(app)")
    kernel = await boot(instances, background=background, overrides=overrides)
    try:
        yield kernel
    finally:
        await stop(instances, kernel)


async def serve(
    instances: Sequence[Instance],
    *,
    ready: asyncio.Event | None = None,
    stopping: asyncio.Event | None = None,
    sockets: Sequence[socket.socket] = (),
) -> None:
    """What ``start`` runs: boot, serve, stop.

    Args:
        instances: What is served.
        ready: Set once everything is.
        stopping: Whoever sets it sees to signals, too; None: they stop this.
        sockets: Listen on these, which are bound, instead of where the platforms say.
    """
    if stopping is None:
        stopping = asyncio.Event()
        with stop_signals(stopping):
            await _boot_and_serve(instances, ready, stopping, sockets)
    else:
        await _boot_and_serve(instances, ready, stopping, sockets)


async def _boot_and_serve(
    instances: Sequence[Instance],
    ready: asyncio.Event | None,
    stopping: asyncio.Event,
    sockets: Sequence[socket.socket],
) -> None:
    booted: list[tuple[Sequence[Instance], Kernel]] = []
    try:
        for group in _groups(instances):
            kernel = await boot(group, background=True)
            booted.append((group, kernel))
        await _serve_until(_servers(instances, sockets), stopping, [kernel for _, kernel in booted], ready)
    finally:
        await _stop_all(booted)


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _servers(instances: Sequence[Instance], sockets: Sequence[socket.socket]) -> list[Server]:
    platforms = [(instance, instance.platform) for instance in instances if instance.platform is not None]
    if not platforms:
        return []
    from goose.http.server import Server  # uvicorn is a tenth of the import time of goose

    return [
        Server(instance, platform.host, platform.port, platform.timeout, sockets) for instance, platform in platforms
    ]


async def _serve_until(
    servers: Sequence[Server], stopping: asyncio.Event, kernels: Sequence[Kernel], ready: asyncio.Event | None
) -> None:
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    asked = asyncio.create_task(stopping.wait())
    try:
        for server in servers:
            await server.tried.wait()
        if ready is not None and all(server.started for server in servers):
            ready.set()
        await asyncio.wait([asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        for kernel in kernels:
            kernel.stop_background()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)


async def _stop_all(booted: Sequence[tuple[Sequence[Instance], Kernel]]) -> None:
    failures: list[Exception] = []
    for group, kernel in reversed(booted):
        try:
            await stop(group, kernel)
        except Exception as error:  # noqa: BLE001 - the others are stopped all the same
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ExceptionGroup("shutdown", failures)


def _groups(instances: Sequence[Instance]) -> list[list[Instance]]:
    """Instances that share a module instance stand together."""
    groups: list[tuple[list[Instance], set[Module]]] = []
    for instance in instances:
        members, modules = [instance], {m for m in (instance.module, *instance.modules) if isinstance(m, Module)}
        for other in [group for group in groups if group[1] & modules]:
            groups.remove(other)
            members, modules = [*other[0], *members], other[1] | modules
        groups.append((members, modules))
    return [members for members, _ in groups]


def end_now(number: int) -> None:
    """What a second signal does to a process of its own."""
    log.warning("a second signal: ending now")
    os._exit(128 + number)


@contextlib.contextmanager
def stop_signals(stopping: asyncio.Event, again: Callable[[int], None] = end_now) -> Iterator[None]:
    """Within the block the first SIGINT or SIGTERM sets ``stopping``; ``again`` gets the number of each that follows."""
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        if asked:
            again(number)
            return
        asked.append(number)
        loop.call_soon_threadsafe(stopping.set)

    try:
        before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    except ValueError:  # not the main thread: whoever runs us there sees to its signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
