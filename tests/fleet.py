"""Processes of the application under test: web servers and workers on one store, killed and frozen at will."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import httpx2
import psutil
from sqlalchemy import URL

from checker import Batch, Dispatched, Ending, Fault, History, Role
from hand import Found, Hand, hand_in
from ledger import Ledger
from waiting import wait_until


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process(Protocol):
    """What a test does with a process."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...
    def send_signal(self, sig: int, /) -> None: ...


class Fleet:
    """The processes of one test, its store and its ledger.

    Args:
        folder: Where the ledger and the log of all processes stand, and the store where it is a file.
        application: The script: ``python application.py api PORT``, or ``worker``.
        lease: Seconds, as the application has it.
        url: Of the store; None: a SQLite file.
        hand: In the store, where its URL does not lead to all of it.
    """

    def __init__(
        self,
        folder: Path,
        application: Path,
        lease: float = 30.0,
        url: URL | str | None = None,
        hand: Hand | None = None,
    ) -> None:
        self.folder = folder
        self.application = application
        self.lease = lease
        self.ledger = Ledger(folder / "ledger")
        self.log = folder / "log"
        self.hand = hand or hand_in(url or f"sqlite:///{folder / 'fleet.db'}")
        self.url = url if isinstance(url, str) else self.hand.url.render_as_string(hide_password=False)
        self.processes: list[Process] = []
        self.faults: list[Fault] = []
        """What was done to the processes, as the checker wants to know it."""

    def start(self, *arguments: str, workers: int | None = None, script: Path | None = None, **environ: str) -> Process:
        """A process of the application (``"worker"``, or ``"api"`` and a port), or of another script."""
        given = {"LEDGER": str(self.ledger.path), "DATABASE_URL": self.url, **self._polling, **environ}
        if workers is not None:
            given["GOOSE_QUEUES_WORKERS"] = str(workers)
        process = self.launch(script or self.application, arguments, given)
        self.processes.append(process)
        return process

    def launch(self, script: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> Process:
        """Run a script in a process of its own."""
        with self.log.open("ab") as log:
            command = [sys.executable, str(script), *arguments]
            return subprocess.Popen(command, env={**os.environ, **environ}, stdout=log, stderr=log)

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

    def kill(self, process: Process) -> None:
        """kill -9, and wait until it is dead."""
        at = time.time()
        process.kill()
        process.wait()
        self.faults.append(Fault(process.pid, at, over=time.time(), killed=True))

    def freeze(self, process: Process) -> None:
        """Stop it where it is, but not inside of a transaction, which others would have to wait for."""
        self.faults.append(Fault(process.pid, self.hand.freeze(psutil.Process(process.pid))))

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on."""
        process.send_signal(signal.SIGCONT)
        self._change(process.pid, over=time.time())

    @contextmanager
    def cut_off(self, *processes: Process) -> Iterator[None]:
        """Within the block these processes, or all that live, cannot reach the store."""
        cut = [process for process in processes or self.processes if process.poll() is None]
        self.faults += [Fault(process.pid, time.time()) for process in cut]
        yield
        for process in cut:
            self._change(process.pid, over=time.time())

    def end_leases(self, process: Process) -> None:
        """End the leases of a process that is dead or frozen, instead of waiting for it."""
        self._change(process.pid, leases_end=time.time())
        names = [entry.job for entry in self.ledger.read() if entry.event == "up" and entry.pid == process.pid]
        for name in names:
            self.hand.lapse(worker=name)

    def running(self, process: Process) -> int:
        """How many attempts a process has in hand now."""
        events = [entry.event for entry in self.ledger.read() if entry.pid == process.pid]
        return events.count("start") - events.count("end")

    def is_over(self) -> bool:
        """Whether every job in the store has come to its end."""
        return self.hand.is_over()

    def callbacks(
        self, batch: str, members: Sequence[str], *roles: Role, stored: Sequence[Found] | None = None
    ) -> Batch:
        """A batch that asked for these callbacks, with the jobs that they have become: of those stored, if they are given."""
        of_batch = [job for job in (self.hand.jobs() if stored is None else stored) if job.batch == batch]
        return Batch(tuple(members), {role: tuple(job.id for job in of_batch if job.role == role) for role in roles})

    def endings(self) -> dict[str, Ending]:
        """What the store says of every job, read without any code of ours."""
        return {job.id: Ending(job.status, job.attempts) for job in self.hand.jobs()}

    def history(self, dispatched: Mapping[str, Dispatched] | None = None, **facts: Any) -> History:
        """Everything that happened, for the checker.

        Args:
            dispatched: What the test knows of its jobs. Those in the ledger are added as acknowledged, with what is noted
                there as their due time; those in the store alone as not acknowledged.
            facts: The chains, batches and limits of the ``History``.
        """
        entries, endings = self.ledger.read(), self.endings()
        known = dict.fromkeys(endings, Dispatched(acknowledged=False))
        known |= {entry.job: Dispatched(due_at=entry.note) for entry in entries if entry.event == "dispatched"}
        return History(known | dict(dispatched or {}), entries, endings, self.lease, tuple(self.faults), **facts)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.hand.close()

    @property
    def _polling(self) -> Mapping[str, str]:
        # Not every server tells a worker that there is work: these tests are not to wait for the next look.
        return {} if self.hand.url.get_backend_name() == "sqlite" else {"GOOSE_QUEUES_POLL_INTERVAL": "0.2"}

    def _change(self, pid: int, **changes: float) -> None:
        place = max(number for number, fault in enumerate(self.faults) if fault.pid == pid)
        self.faults[place] = replace(self.faults[place], **changes)
