"""A Redis server of a trial's own, on a free port, gone with the trial: nothing of another's slows it or is in its figures.

It keeps its data in memory. GOOSE_BENCH_REDIS holds options that say otherwise, such as ``--appendonly yes``; they are
those of ``redis-server``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_DEADLINE = 30.0
_OPTIONS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning")
"""``save ""``: no snapshots, whose fork would fall into somebody's time."""


@contextmanager
def private_redis(folder: Path) -> Iterator[str]:
    """The URL of an empty one."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="redis-", dir=folder, ignore_cleanup_errors=True) as data:
        command = [_binary(), *_OPTIONS, *chosen_options(), "--port", str(port), "--dir", data]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            _wait_until_ready(process, port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


def version() -> str:
    """Of the server that is installed, and what it runs with."""
    said = subprocess.run([_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    number = next(word.removeprefix("v=") for word in said.split() if word.startswith("v="))
    return f"Redis {number} ({shlex.join(chosen_options()) or 'in memory, nothing written'})"


def chosen_options() -> list[str]:
    """What GOOSE_BENCH_REDIS says."""
    return shlex.split(os.environ.get("GOOSE_BENCH_REDIS", ""))


def _binary() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise FileNotFoundError("no redis-server and no valkey-server on the PATH")
    return found


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _DEADLINE
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), timeout=1)) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(5) == b"+PONG":
                    return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"redis-server did not start: exit code {process.returncode}") from error
        time.sleep(0.005)
