"""Processes of the application under test: web servers and workers on one store, killed and frozen at will."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from checker import Dispatched, Ending, Fault, History
from ledger import Ledger
from waiting import wait_until

STATUSES = {"ready": "pending", "scheduled": "pending", "waiting": "pending"}


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
        lease: Seconds, as the application has it.
    """

    def __init__(self, folder: Path, application: Path, lease: float = 30.0) -> None:
        self.application = application
        self.lease = lease
        self.ledger = Ledger(folder / "ledger")
        self.log = folder / "log"
        self.file = folder / "fleet.db"
        self.url = f"sqlite:///{self.file}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.faults: list[Fault] = []
        """What was done to the processes, as the checker wants to know it."""

    def start(
        self, *arguments: str, workers: int | None = None, script: Path | None = None, **environ: str
    ) -> subprocess.Popen[bytes]:
        """A process of the application (``"worker"``, or ``"api"`` and a port), or of another script."""
        environment = {
            **os.environ,
            "LEDGER": str(self.ledger.path),
            "DATABASE_URL": self.url,
            **({} if workers is None else {"GOOSE_QUEUES_WORKERS": str(workers)}),
            **environ,
        }
        with self.log.open("ab") as log:
            command = [sys.executable, str(script or self.application), *arguments]
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

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """kill -9, and wait until it is dead."""
        at = time.time()
        process.kill()
        process.wait()
        self.faults.append(Fault(process.pid, at, over=time.time(), killed=True))

    def freeze(self, process: subprocess.Popen[bytes]) -> None:
        """Stop it where it is; its leases run out meanwhile."""
        self.faults.append(Fault(process.pid, time.time()))
        process.send_signal(signal.SIGSTOP)

    def thaw(self, process: subprocess.Popen[bytes]) -> None:
        """Let a frozen process go on."""
        process.send_signal(signal.SIGCONT)
        self._change(process.pid, over=time.time())

    def end_leases(self, process: subprocess.Popen[bytes], job: str) -> None:
        """Put the end of the lease of a process that is dead or frozen back to now, instead of waiting for it."""
        self._change(process.pid, leases_end=time.time())
        with closing(sqlite3.connect(self.file, timeout=30)) as raw, raw:
            raw.execute("UPDATE goose_jobs SET lease_until = 0 WHERE id = ? AND state = 'processing'", (job,))

    def endings(self) -> dict[str, Ending]:
        """What the store says of every job, read without any code of ours."""
        with closing(sqlite3.connect(self.file, timeout=30)) as raw:
            rows = raw.execute("SELECT id, state, attempts FROM goose_jobs").fetchall()
        return {job: Ending(STATUSES.get(state, state), attempts) for job, state, attempts in rows}

    def history(self, dispatched: Mapping[str, Dispatched] | None = None, **facts: Any) -> History:
        """Everything that happened, for the checker.

        Args:
            dispatched: What the test knows of its jobs; those in the ledger are added as acknowledged, those in the store
                alone as not.
            facts: The chains, batches and limits of the ``History``.
        """
        entries, endings = self.ledger.read(), self.endings()
        known = dict.fromkeys(endings, Dispatched(acknowledged=False))
        known |= {entry.job: Dispatched() for entry in entries if entry.event == "dispatched"}
        return History(known | dict(dispatched or {}), entries, endings, self.lease, tuple(self.faults), **facts)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _change(self, pid: int, **changes: float) -> None:
        place = max(number for number, fault in enumerate(self.faults) if fault.pid == pid)
        self.faults[place] = replace(self.faults[place], **changes)
