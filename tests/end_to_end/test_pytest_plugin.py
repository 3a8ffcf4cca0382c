"""The fixtures that come with the package, in a project that does nothing but use them."""

from __future__ import annotations

from pathlib import Path

from end_to_end.installed import Goose

MAIN = """
from goose import ApiPlatform, Context, Controller, Module, api, post
from dataclasses import dataclass
from goose_queues import Client, Job, JobContext, QueuesModule

class Ping(Job):
    async def handle(self, ctx: JobContext) -> None: ...

@dataclass
class PingController(Controller):
    queue: Client

    @post("/pings")
    async def ping(self, ctx: Context) -> None:
        await self.queue.dispatch(Ping()).delay(60)

class AppModule(Module):
    declarations = (PingController, Ping)

app = api(ApiPlatform(), AppModule, [QueuesModule(url="sqlite://")])
"""

TESTS = """
from goose.testing import AppTestClient
from goose_queues import Client, Clock
from main import Ping

def test_app_and_http(app, http):
    assert http.post("/pings").status_code == 204
    assert http.drain().completed == 0

def test_fake_queue(app, fake_queue):
    with AppTestClient(app, overrides={Client: fake_queue}) as http:
        http.post("/pings")
    fake_queue.assert_dispatched(Ping, times=1)

def test_frozen_clock(app, frozen_clock):
    with AppTestClient(app, overrides={Clock: frozen_clock}) as http:
        http.post("/pings")
        assert http.drain().completed == 0
        frozen_clock.move(60)
        assert http.drain().completed == 1
"""

FORGOTTEN = """
async def test_forgotten(fake_queue):
    from main import Ping
    fake_queue.dispatch(Ping())
"""


def project(folder: Path, tests: str) -> None:
    (folder / "main.py").write_text(MAIN)
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\npythonpath = .\n"
    )


def test_fixtures(goose: Goose, tmp_path: Path) -> None:
    """app, http, fake_queue and frozen_clock are there without being imported."""
    project(tmp_path, TESTS)
    assert goose.tests(tmp_path) == 3


def test_a_forgotten_await(goose: Goose, tmp_path: Path) -> None:
    """A dispatch that is never awaited fails the run, and the message names the job."""
    project(tmp_path, FORGOTTEN)
    done = goose.module(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", code=1)
    assert "dispatch of Ping was never sent" in done.stdout
