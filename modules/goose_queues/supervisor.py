"""Supervisor: the workers of one process, from the boot to the last job.

Declared by ``module``, so that the kernel boots, watches and stops it: ``on_run`` claims, ``on_shutdown`` drains.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from goose_queues.client import Client
from goose_queues.config import Settings
from goose_queues.errors import WorkersStuck
from goose_queues.handle import Completions
from goose_queues.heartbeat import Heartbeat
from goose_queues.maintenance import Maintenance
from goose_queues.readiness import Readiness
from goose_queues.redact import one_line
from goose_queues.registry import Registry
from goose_queues.runner import Runner
from goose_queues.settler import Settler
from goose_queues.solitude import Solitude
from goose_queues.store import Store
from goose_queues.worker import Worker, Workshop

log = logging.getLogger("goose_queues.supervisor")

LAST_MOMENTS: Final = 5.0
"""Seconds for cancelled jobs to end, and again for the last outcomes to be written."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What this process is to work on, where a command narrows what the settings say."""

    queues: tuple[str, ...] | None = None
    """None: those of the settings."""
    concurrency: int | None = None
    """Concurrent jobs of each queue; None: as in the settings."""


class Supervisor:
    """Starts, watches and drains the workers of one process."""

    def __init__(
        self,
        client: Client,
        store: Store,
        registry: Registry,
        runner: Runner,
        settings: Settings,
        completions: Completions,
        workload: Workload,
        readiness: Readiness,
    ) -> None:
        # The client is not used here: depending on it keeps the queue open until the last job has ended.
        self.client: Final = client
        self.store: Final = store
        self.registry: Final = registry
        self.runner: Final = runner
        self.completions: Final = completions
        self.hook_timeout: Final = settings.shutdown_timeout + 3 * LAST_MOMENTS
        self.settings: Final = settings
        self._heartbeat = Heartbeat(store, settings.stale_job_timeout, frozenset(settings.limits))
        self._settler = Settler(store, self._heartbeat, completions, self.wake, frozenset(settings.limits))
        self.maintenance: Final = Maintenance(store, settings, self.wake, self._heartbeat.cancel)
        self._solitude = Solitude(settings.stale_job_timeout)
        self.identity: Final = str(uuid.uuid4())
        """Of this process in the store: new with each boot, never a host name or a pid."""
        self._workshop = Workshop(
            store,
            runner,
            self._heartbeat,
            self._settler,
            self._solitude,
            registry.names,
            settings.stale_job_timeout,
            settings.poll_interval,
            self.identity,
            settings.limits,
        )
        self.workers: Final = tuple(self._hire(workload))
        """One for each queue that this process serves."""
        self.stuck: Final = asyncio.Event()
        """Set for good when the stuck threads of a worker fill half of its slots."""
        self._readiness = readiness
        self._hints = Hints(self.wake)
        self._unsubscribe: Callable[[], None] | None = None

    async def on_run(self) -> None:
        """Claim and run jobs, until cancelled; the jobs that run go on after that."""
        await self.store.open()
        self._heartbeat.start()
        self._readiness.add(self)
        if self._unsubscribe is None:
            self._hints.listen()
            self._unsubscribe = self.store.subscribe(self._hints.heard)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.maintenance.run(), name="goose-maintenance")
                group.create_task(self._look_for_stuck_threads(), name="goose-stuck-threads")
                for worker in self.workers:
                    group.create_task(worker.run(), name=f"goose-worker-{worker.queue}")
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from group_error

    async def on_shutdown(self) -> None:
        """Finish what runs, up to the shutdown timeout; cancel and give back the rest; write everything down."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._readiness.discard(self)
        self._solitude.close()
        await self._drain(self.settings.shutdown_timeout)
        if any(worker.busy for worker in self.workers):
            for worker in self.workers:
                worker.interrupt()
            await self._drain(LAST_MOMENTS)
        await self._settler.flush(LAST_MOMENTS)
        await self._settler.close()
        await self._heartbeat.stop()
        left = [one_line(job_id) for worker in self.workers for job_id in worker.unfinished]
        if left:
            log.warning(
                "%d jobs did not end: their leases run out, then they run elsewhere", len(left), extra={"jobs": left}
            )
        for worker in self.workers:
            await worker.abandon()

    async def check(self) -> None:
        """Readiness: no worker is stuck.

        Raises:
            WorkersStuck: One is.
        """
        stuck = {worker.queue: worker.stuck for worker in self.workers if worker.is_stuck}
        if stuck:
            raise WorkersStuck(stuck)

    def wake(self, queues: frozenset[str]) -> None:
        """There may be something new to claim in these queues."""
        for worker in self.workers:
            if worker.queue in queues:
                worker.wake()

    @property
    def running(self) -> int:
        """Jobs that run now."""
        return sum(len(worker.unfinished) for worker in self.workers)

    @property
    def claimed(self) -> int:
        """Jobs claimed since the start."""
        return sum(worker.claimed for worker in self.workers)

    async def has_claimed(self, jobs: int) -> None:
        """Wait until so many have been claimed, or a few more: at most as many as there are slots."""
        while self.claimed < jobs:
            self._workshop.changed.clear()
            await self._workshop.changed.wait()

    async def finished(self) -> None:
        """Wait until what runs has ended, however long that takes; where nothing more is claimed, that is for good."""
        while self.running > sum(worker.stuck for worker in self.workers):
            for worker in self.workers:
                await worker.finished(self.settings.stale_job_timeout / 12)

    async def idle(self) -> None:
        """Wait until nothing runs and nothing is due; what is due later does not count."""
        while True:
            before = self.claimed
            rests = [worker.rests for worker in self.workers]
            for worker in self.workers:
                worker.wake()
            while self._busy() or any(w.rests == r for w, r in zip(self.workers, rests, strict=True)):
                self._workshop.changed.clear()
                await self._workshop.changed.wait()
                await self._settler.flush(self.settings.stale_job_timeout)
            if self.claimed == before:
                return

    async def _look_for_stuck_threads(self) -> None:
        while True:
            await asyncio.sleep(self.settings.stale_job_timeout / 12)
            try:
                await self.check()
            except WorkersStuck as error:
                if not self.stuck.is_set():
                    log.error("%s", error, extra={"stuck": error.stuck})  # noqa: TRY400 - it has no traceback to show
                self.stuck.set()

    def _busy(self) -> bool:
        return self._settler.busy or any(worker.busy for worker in self.workers)

    async def _drain(self, limit: float) -> None:
        deadline = time.monotonic() + limit
        for worker in self.workers:
            await worker.finished(deadline - time.monotonic())

    def _hire(self, workload: Workload) -> list[Worker]:
        settings = self.settings
        queues = workload.queues or settings.served(self.registry.queues(settings.queue))
        slots = {q: settings.slots(q) if workload.concurrency is None else workload.concurrency for q in queues}
        return [Worker(queue, slots[queue], self._workshop) for queue in queues if slots[queue]]


class Hints:
    """Carries the store's hints from any thread to the event loop, many at a time."""

    def __init__(self, wake: Callable[[frozenset[str]], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._queues: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self) -> None:
        """Wake on this event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def heard(self, queues: frozenset[str]) -> None:
        """The store's listener; from any thread."""
        with self._lock:
            already_told, loop = bool(self._queues), self._loop
            self._queues |= queues
        if not already_told and loop is not None:
            try:
                loop.call_soon_threadsafe(self._pass_on)
            except RuntimeError:
                return  # The loop has been closed: there is nobody to wake.

    def _pass_on(self) -> None:
        with self._lock:
            queues, self._queues = frozenset(self._queues), set()
        self._wake(queues)


def _first(error: BaseException) -> BaseException:
    """The first of the errors in a group; all workers die of the same where the store has a fault."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
