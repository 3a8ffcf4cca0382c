"""Processes of the application under test: a web server and workers on one store, killed at will."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from ledger import Ledger
from waiting import wait_until

APPLICATION = Path(__file__).with_name("application.py")


class Fleet:
    """The processes of one test, its store and its ledger."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder / "ledger")
        self.log = folder / "log"
        self.url = f"sqlite:///{folder / 'fleet.db'}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, workers: int) -> subprocess.Popen[bytes]:
        """A process of the application: ``"worker"``, or ``"api"`` and a port."""
        environment = {
            **os.environ,
            "LEDGER": str(self.ledger.path),
            "DATABASE_URL": self.url,
            "WORKERS": str(workers),
        }
        with self.log.open("ab") as log:
            command = [sys.executable, str(APPLICATION), *arguments]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    async def serve(self, *, workers: int = 0) -> httpx2.AsyncClient:
        """A web process, ready; the client that speaks to it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = self.start("api", str(port), workers=workers)
        http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)

        async def ready() -> bool:
            assert process.poll() is None, self.log.read_text()
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx2.TransportError:
                return False

        await wait_until(ready)
        return http

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.end()
