"""An application's folder, ``goose`` called in it, and the application's own queue to fill and to look into."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pexpect
import pytest

import goose as goose_package
from called import Said, caller, working_in
from goose import Kernel
from servers.shared import driver_of, room

T = TypeVar("T")

MAIN = """
import goose
from goose import Module
from goose_queues import Job, JobContext, QueuesModule


class Note(Job):
    text: str = "note"
    password: str = "hunter2"

    async def handle(self, ctx: JobContext) -> str:
        return self.text


class Send(Job, queue="emails", max_retries=0):
    to: str = "nobody"

    async def handle(self, ctx: JobContext) -> None:
        if "@" not in self.to:
            raise ValueError(f"{self.to} is no address")


class AppModule(Module):
    declarations = (Note, Send)


app = goose.worker(AppModule, [QueuesModule(driver=DRIVER, url=URL, auto_migrate=True)])
"""


class OnQueue(Protocol):
    """``on_queue(do)``: boot the application and run ``await do(kernel)`` in it."""

    def __call__(self, do: Callable[[Kernel], Awaitable[T]]) -> T: ...


@pytest.fixture(params=["sqlite"])
def url(request: pytest.FixtureRequest) -> str:
    """Where the application's jobs are: in a file, or in the emptied room on a server whose name is the parameter."""
    if request.param == "sqlite":
        return "sqlite:///queue.db"
    there = room(request.param)
    there.empty()
    return there.url.render_as_string(hide_password=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[Path]:
    """The folder of an application with two jobs, ``Note`` and, in the queue ``emails``, ``Send``."""
    (tmp_path / "main.py").write_text(f"DRIVER = {driver_of(url)!r}\nURL = {url!r}\n{MAIN}")
    with working_in(tmp_path, monkeypatch) as folder:
        yield folder


@pytest.fixture
def goose(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Call the ``goose`` command in the project's folder."""
    return caller(capsys)


@pytest.fixture
def main(project: Path) -> Any:
    """The application's own module."""
    sys.path.insert(0, str(project))
    return importlib.import_module("main")


@pytest.fixture
def on_queue(main: Any) -> OnQueue:
    """Do something on the application's queue, as another process of it would."""

    def run(do: Callable[[Kernel], Awaitable[T]]) -> T:
        async def inside() -> T:
            async with goose_package.running(main.app) as kernel:
                return await do(kernel)

        return asyncio.run(inside())

    return run


@pytest.fixture
def terminal(project: Path) -> Iterator[Callable[..., pexpect.spawn[str]]]:
    """Run ``goose`` in a terminal of its own."""
    opened: list[pexpect.spawn[str]] = []

    def run(*words: str, columns: int = 160) -> pexpect.spawn[str]:
        command = ["-c", "from goose.commands import main; main()", *words]
        environment = {**_environment(), "TERM": "xterm", "NO_COLOR": "1"}
        opened.append(
            pexpect.spawn(
                sys.executable,
                command,
                cwd=str(project),
                env=environment,
                dimensions=(40, columns),
                timeout=60,
                encoding="utf-8",
                # As a terminal's shell leaves it; where the suite runs in the background of a script, it is ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        )
        return opened[-1]

    yield run
    for each in opened:
        each.close(force=True)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "COLUMNS", "LINES"}}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path)}
