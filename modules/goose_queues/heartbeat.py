"""Heartbeat: keeps the leases of this process's jobs, from a thread of its own.

``worker`` tells it what it holds, ``settler`` what it has let go of. A handler that blocks the event loop does not lose
its lease, since the thread does not need the loop. A second look, on the loop, ends what could not be extended in time.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from goose_queues.control import RunControl
from goose_queues.errors import StoreUnavailable
from goose_queues.record import CancelRequest, ClaimedJob
from goose_queues.redact import one_line
from goose_queues.store import Store

log = logging.getLogger("goose_queues.heartbeat")

PATIENCE: Final = 2 / 3
"""Part of the lease after which a job that could not be extended is given up: well before somebody else may take it."""
RETRY_FIRST: Final = 0.1
RETRY_LAST: Final = 1.0
"""Seconds before a failed extension is tried again: doubling from the first to the last, with jitter."""


@dataclass(slots=True, eq=False)
class Held:
    """A claimed job between its claim and its settlement."""

    token: str
    control: RunControl
    renewed_at: float
    """``time.monotonic()`` when the claim or the latest extension that succeeded was begun."""
    is_limited: bool = False
    """Whether its slot is counted in the whole fleet, so that a lapsed lease may be somebody else's slot by now."""
    running: bool = True
    """False once it has its outcome."""
    given_up: bool = False
    """Set when its end has been asked for because its lease is, or may be, lost."""


class Heartbeat:
    """The leases of one process; its methods belong to the event loop, except where they say otherwise.

    Args:
        store: Where the leases are.
        lease: Seconds that an extension is good for; one is made each third of it.
        limited: Queues of which the fleet runs only so many jobs at once.
    """

    def __init__(self, store: Store, lease: float, limited: frozenset[str] = frozenset()) -> None:
        self._store = store
        self._lease = lease
        self._limited = limited
        self._held: dict[str, Held] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.cut_off = False
        """Whether a lease could not be extended for so long that nothing more is to be claimed."""

    def start(self) -> None:
        """Start the thread and the look at it; once is enough, again does nothing."""
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._stopping.clear()
            self._watcher = self._loop.create_task(self._watch(), name="goose-heartbeat-watch")
            self._thread = threading.Thread(target=self._beat_on, name="goose-heartbeat", daemon=True)
            self._thread.start()

    async def stop(self) -> None:
        """End both. What is still held is left to its lease, and its end counts as no death."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        # It ends at once unless an extension is under way, which has a limit of its own.
        await asyncio.to_thread(thread.join, self._lease)
        if self._held:
            await asyncio.to_thread(self._part)
        self._held.clear()
        self.cut_off = False

    def hold(self, claimed: ClaimedJob, control: RunControl, since: float) -> None:
        """Extend this job's lease from now on; ``since`` is when its claim was begun.

        An attempt of it that still runs here has lost its own: it was away for too long.
        """
        before = self._held.get(claimed.id)
        self._held[claimed.id] = Held(claimed.token, control, since, claimed.queue in self._limited)
        if before is not None and before.running and not before.given_up:
            self._give_up(claimed.id, before, "its lease was lost: it has been claimed again")

    def finished(self, claimed: ClaimedJob) -> None:
        """The job has its outcome; its lease is extended until that is written."""
        held = self._held.get(claimed.id)
        if held is not None and held.token == claimed.token:
            held.running = False

    def let_go(self, claimed: ClaimedJob) -> None:
        """Extend this job's lease no more."""
        held = self._held.get(claimed.id)
        if held is not None and held.token == claimed.token:
            del self._held[claimed.id]

    def cancel(self, requests: Iterable[CancelRequest]) -> None:
        """End those jobs of this process that somebody has asked to end."""
        for request in requests:
            held = self._held.get(request.job_id)
            if held is not None and held.token == request.token and held.running:
                held.control.cancel(request.reason)

    def _beat_on(self) -> None:
        wait, retry = self._lease / 3, RETRY_FIRST
        while not self._stopping.wait(wait):
            if self._beat():
                wait, retry = self._lease / 3, RETRY_FIRST
            else:
                wait = retry * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
                retry = min(retry * 2, RETRY_LAST)

    def _beat(self) -> bool:
        """Extend everything once, in the heartbeat's thread; whether the store took it."""
        held = self._held.copy()
        if not held:
            return True
        began = time.monotonic()
        try:
            tokens = {job_id: one.token for job_id, one in held.items()}
            limited = frozenset(job_id for job_id, one in held.items() if one.is_limited)
            lost = self._store.extend(tokens, self._lease, limited=limited)
        except StoreUnavailable as error:
            log.warning("leases could not be extended: %s", error)
            return False
        except Exception:
            log.exception("leases could not be extended")
            return False
        for job_id, one in held.items():
            if job_id not in lost:
                one.renewed_at = began
        if lost and self._loop is not None and not self._stopping.is_set():
            self._loop.call_soon_threadsafe(self._lose, {job_id: held[job_id] for job_id in lost if job_id in held})
        return True

    def _part(self) -> None:
        """The last extension: of threads that a shutdown could not end."""
        tokens = {job_id: one.token for job_id, one in self._held.items()}
        try:
            self._store.extend(tokens, self._lease, blameless=frozenset(tokens))
        except StoreUnavailable as error:
            log.warning("the leases of jobs that did not end could not be extended: %s", error)

    def _lose(self, lost: Mapping[str, Held]) -> None:
        for job_id, one in lost.items():
            # A job that was settled meanwhile has no lease either.
            if self._held.get(job_id) is one and one.running and not one.given_up:
                self._give_up(job_id, one, "its lease was lost: another worker may run it")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 12)
            self.look()

    def look(self) -> None:
        """End what has not been extended for too long; called at intervals."""
        limit = time.monotonic() - self._lease * PATIENCE
        late = {job_id: one for job_id, one in self._held.items() if one.renewed_at < limit}
        self.cut_off = bool(late)
        for job_id, one in late.items():
            if one.running and not one.given_up:
                self._give_up(job_id, one, "its lease could not be extended")

    def _give_up(self, job_id: str, one: Held, reason: str) -> None:
        one.given_up = True
        shown = one_line(job_id)
        log.warning("job %s is ended: %s", shown, reason, extra={"job_id": shown})
        one.control.lease_lost()
