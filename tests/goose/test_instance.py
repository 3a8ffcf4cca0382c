"""An instance as an ASGI application: boot and shutdown on the lifespan, requests in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from goose import ApiPlatform, Context, Controller, Module, api, get, running, worker
from goose.errors import HookFailed, NotRunning
from goose.instance import Instance
from goose.testing import AppTestClient
from waiting import wait_until


@dataclass
class Counter:
    events: list[str] = field(default_factory=list)
    running: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_run(self) -> None:
        self.running.set()
        await asyncio.Event().wait()

    async def on_shutdown(self) -> None:
        self.events.append("shutdown")


@dataclass
class CounterController(Controller, prefix="/counter"):
    counter: Counter

    @get("/")
    async def show(self, ctx: Context) -> dict[str, bool]:
        return {"running": self.counter.running.is_set()}


class CounterModule(Module):
    declarations = (CounterController, Counter)


@pytest.fixture
def app() -> Instance:
    return api(ApiPlatform(), CounterModule)


class Lifespan:
    """An ASGI server, as far as the lifespan goes."""

    def __init__(self, app: Instance) -> None:
        self.sent: list[dict[str, Any]] = []
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.create_task(app({"type": "lifespan"}, self.inbox.get, self.send))  # type: ignore[arg-type]

    async def send(self, message: Any) -> None:
        self.sent.append(message)


async def test_lifespan(app: Instance) -> None:
    """The lifespan's startup boots with background work, its shutdown stops, and a second one boots again."""
    for _ in range(2):
        server = Lifespan(app)
        await server.inbox.put({"type": "lifespan.startup"})
        await wait_until(lambda server=server: server.sent == [{"type": "lifespan.startup.complete"}])  # type: ignore[misc]
        assert app.kernel is not None
        counter = app.kernel.get(Counter)
        await counter.running.wait()
        await server.inbox.put({"type": "lifespan.shutdown"})
        await server.task
        assert server.sent[-1] == {"type": "lifespan.shutdown.complete"}
        assert counter.events == ["shutdown"]
        assert app.kernel is None


async def test_a_lifespan_that_is_cancelled_stops_the_application(app: Instance) -> None:
    """A server that ends without asking for the shutdown leaves nothing running."""
    server = Lifespan(app)
    await server.inbox.put({"type": "lifespan.startup"})
    await wait_until(lambda: server.sent == [{"type": "lifespan.startup.complete"}])
    assert app.kernel is not None
    counter = app.kernel.get(Counter)
    server.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await server.task
    assert counter.events == ["shutdown"]
    assert app.kernel is None


class Broken:
    async def on_boot(self) -> None:
        raise ValueError("no disk")


async def test_a_boot_that_fails_is_told_to_the_server() -> None:
    """The server hears why the application did not start."""
    server = Lifespan(api(ApiPlatform(), type("BrokenModule", (Module,), {"declarations": (Broken,)})))
    await server.inbox.put({"type": "lifespan.startup"})
    with pytest.raises(HookFailed):
        await server.task
    message = "HookFailed: Broken.on_boot failed: ValueError: no disk"
    assert server.sent == [{"type": "lifespan.startup.failed", "message": message}]


async def test_without_lifespan_there_is_an_error_that_says_so(app: Instance) -> None:
    """A request to an application that was never booted says what is missing."""
    with pytest.raises(NotRunning, match="the application is not booted: serve it with"):
        await app({"type": "http"}, None, None)  # type: ignore[arg-type]


async def test_a_worker_serves_no_http() -> None:
    """A worker instance has no platform."""
    instance = worker(CounterModule)
    async with running(instance):
        with pytest.raises(NotRunning):
            await instance({"type": "http"}, None, None)  # type: ignore[arg-type]


def test_client_boots_without_background_work(app: Instance) -> None:
    """AppTestClient speaks HTTP to the application, starts no background work, and stops it at the end."""
    with AppTestClient(app) as http:
        assert http.get("/counter").json() == {"running": False}
        counter = http.kernel.get(Counter)
    assert counter.events == ["shutdown"]
    with pytest.raises(NotRunning, match="use AppTestClient in a with block"):
        _ = http.kernel


def test_client_overrides(app: Instance) -> None:
    """Overrides act before anything is built, and are not told of the shutdown."""
    mine = Counter()
    mine.running.set()
    with AppTestClient(app, overrides={Counter: mine}) as http:
        assert http.get("/counter").json() == {"running": True}
    assert mine.events == []


def test_drain_without_anything_to_drain(app: Instance) -> None:
    """Draining an application without a queue says that there is none."""
    with AppTestClient(app) as http, pytest.raises(NotRunning, match="no module with background work to drain"):
        http.drain()
