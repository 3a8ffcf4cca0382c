"""A whole process: boot, serve, signals, a graceful end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from json import loads
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import goose
from fleet import free_port
from waiting import wait_until

APP = Path(__file__).with_name("serving_app.py")


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, str(APP), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def get(port: int, path: str = "/") -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return loads(answer.read())


async def serves(port: int) -> None:
    def answers() -> bool:
        try:
            get(port)
        except OSError:
            return False
        return True

    await wait_until(lambda: anyio.to_thread.run_sync(answers))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_graceful_stop(number: signal.Signals) -> None:
    """A signal ends background work at once, lets a request in flight finish, then shuts down; exit code 0."""
    port = free_port()
    with process(str(port)) as child:
        await serves(port)
        async with anyio.create_task_group() as group:
            answers: list[Any] = []
            group.start_soon(_collect, port, answers)
            await says(child, "slow began")
            child.send_signal(number)
        assert answers == [{"name": "p0", "root": "First", "workers": 1}]
        out, _ = await anyio.to_thread.run_sync(child.communicate)
        assert [line for line in out.splitlines() if not line.startswith("INFO")] == ["work ends", "shutdown"]
        assert child.returncode == 0


async def says(child: subprocess.Popen[str], line: str) -> None:
    """Read what a process prints, up to this line."""
    assert child.stdout is not None
    while await anyio.to_thread.run_sync(child.stdout.readline) != f"{line}\n":
        assert child.poll() is None


async def _collect(port: int, answers: list[Any]) -> None:
    answers.append(await anyio.to_thread.run_sync(get, port, "/slow"))


async def test_instances_that_share_a_module_share_its_work() -> None:
    """Two instances of one process with one shared module serve their own parts and run its work once."""
    ports = [free_port(), free_port()]
    with process(",".join(map(str, ports))) as child:
        for port in ports:
            await serves(port)
        assert get(ports[0]) == {"name": "p0", "root": "First", "workers": 1}
        assert get(ports[1]) == {"name": "p1", "root": "Second", "workers": 1}
        child.send_signal(signal.SIGTERM)
        out, _ = await anyio.to_thread.run_sync(child.communicate)
        assert out.count("work begins") == out.count("shutdown") == 1
        assert child.returncode == 0


async def test_second_signal_ends_now() -> None:
    """A second signal ends the process at once, whatever still hangs."""
    port = free_port()
    with process(str(port), "--hang") as child:
        await serves(port)
        child.send_signal(signal.SIGTERM)
        await says(child, "hanging")
        child.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(child.wait) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--broken-boot", "goose: Shared.on_boot failed: ValueError: no disk"),
        ("taken", "goose: cannot listen on 127.0.0.1:{port}: the address is in use or not allowed"),
    ],
)
async def test_what_cannot_start_says_so_in_one_line(arguments: str, line: str) -> None:
    """A boot that fails and a port that is taken end with one line and exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] if arguments == "taken" else free_port()
        with process(str(port), arguments) as child:
            _, err = await anyio.to_thread.run_sync(child.communicate)
        assert [text for text in err.splitlines() if text.startswith("goose:")] == [line.format(port=port)]
        assert "Traceback" not in err
        assert child.returncode == 1


async def test_a_shutdown_that_fails_exits_1() -> None:
    """An error in shutdown is told in one line, with exit code 1."""
    port = free_port()
    with process(str(port), "--broken-shutdown") as child:
        await serves(port)
        child.send_signal(signal.SIGTERM)
        _, err = await anyio.to_thread.run_sync(child.communicate)
        assert "goose: the shutdown met errors: Gate.on_shutdown failed: ValueError: tape is full" in err
        assert child.returncode == 1


async def test_start_where_a_loop_runs() -> None:
    """start() within an event loop, as in a script that is imported, says what to do instead."""
    with pytest.raises(RuntimeError) as error:
        goose.start(goose.worker(goose.Module))
    assert str(error.value) == (
        "start() blocks, and an event loop runs here already: "
        'call it under `if __name__ == "__main__":`, or use goose.running() in async code'
    )


async def test_several_instances_running() -> None:
    """running() boots several instances as one application, and wants one at least."""

    class First(goose.Module): ...

    class Second(goose.Module): ...

    first, second = goose.worker(First), goose.worker(Second)
    async with goose.running(first, second) as kernel:
        assert first.kernel is second.kernel is kernel
        assert [str(module) for module in kernel.modules] == ["First", "Second"]
    assert first.kernel is second.kernel is None
    with pytest.raises(TypeError, match=r"running\(\) takes at least one instance: goose.running\(app\)"):
        async with goose.running():
            pass


def test_start_wants_an_instance() -> None:
    """start() without instances says what it takes."""
    with pytest.raises(TypeError, match=r"start\(\) takes at least one instance"):
        goose.start()
