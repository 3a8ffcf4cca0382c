"""Processes of the application under test: a web server and workers on one store, killed at will."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from ledger import Ledger
from waiting import wait_until


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Fleet:
    """The processes of one test, its store and its ledger.

    Args:
        folder: Where the store, the ledger and the log of all processes stand.
        application: The script: ``python application.py api PORT``, or ``worker``.
    """

    def __init__(self, folder: Path, application: Path) -> None:
        self.application = application
        self.ledger = Ledger(folder / "ledger")
        self.log = folder / "log"
        self.url = f"sqlite:///{folder / 'fleet.db'}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, workers: int | None = None, **environ: str) -> subprocess.Popen[bytes]:
        """A process of the application: ``"worker"``, or ``"api"`` and a port."""
        environment = {
            **os.environ,
            "LEDGER": str(self.ledger.path),
            "DATABASE_URL": self.url,
            **({} if workers is None else {"GOOSE_QUEUES_WORKERS": str(workers)}),
            **environ,
        }
        with self.log.open("ab") as log:
            command = [sys.executable, str(self.application), *arguments]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    @asynccontextmanager
    async def serve(self, *, workers: int | None = None, **environ: str) -> AsyncIterator[httpx2.AsyncClient]:
        """A web process, ready; the client that speaks to it."""
        port = free_port()
        process = self.start("api", str(port), workers=workers, **environ)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:

            async def ready() -> bool:
                assert process.poll() is None, self.log.read_text()
                try:
                    return (await http.get("/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await wait_until(ready)
            yield http

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
