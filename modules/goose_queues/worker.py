"""Worker: the loop that serves one queue in one process: claim as many as there are free slots, run them, settle.

Made and run by ``supervisor``. What it claims goes to ``runner``, what comes of it to ``settler``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from goose_queues.control import RunControl
from goose_queues.errors import HandlerExited, StoreUnavailable
from goose_queues.heartbeat import Heartbeat
from goose_queues.patience import RETRY_FIRST, until_answered
from goose_queues.pausing import reached
from goose_queues.record import Claim, Claimed, ClaimedJob, Outcome, Released
from goose_queues.redact import one_line
from goose_queues.runner import Runner
from goose_queues.settler import Settler
from goose_queues.solitude import Solitude, is_suspect
from goose_queues.store import Store

log = logging.getLogger("goose_queues.worker")

CLAIMED: Final = 100
"""Jobs at most that one claim takes, so that no transaction of it is long."""
BACKLOG: Final = 5_000
"""Unwritten outcomes in the process beyond which nothing more is claimed."""
NEVER_EARLY: Final = 0.001
"""Seconds added to a nap until a job is due, so that the claim does not come a moment too soon."""


_Attempt: TypeAlias = tuple[str, str]
"""Id and token: one that has lost its lease may still run here when the job is claimed again."""


@dataclass(slots=True)
class Workshop:
    """What the workers of one process share."""

    store: Store
    runner: Runner
    heartbeat: Heartbeat
    settler: Settler
    solitude: Solitude
    names: frozenset[str]
    """The registered job names."""
    lease: float
    poll_interval: float
    identity: str
    """Of this process: a UUID, new with each boot."""
    limits: Mapping[str, int]
    """How many jobs of a queue the whole fleet runs at once, where that is limited."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a worker comes to rest or a job ends."""


class Worker:
    """Serves one queue; belongs to the event loop.

    Args:
        queue: Which one.
        slots: How many jobs it runs at once.
        workshop: What it shares with the others.
    """

    def __init__(self, queue: str, slots: int, workshop: Workshop) -> None:
        self.queue = queue
        self.slots = slots
        self._shop = workshop
        self._running: dict[_Attempt, RunControl] = {}
        self._tasks: dict[_Attempt, asyncio.Task[None]] = {}
        self._claims: set[asyncio.Future[Claimed]] = set()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._serving = False
        self.rests = 0
        """How often a claim found fewer jobs than there were slots."""
        self.claimed = 0
        """Jobs claimed since the start."""

    @property
    def busy(self) -> bool:
        """Whether a job of this worker runs, or a claim is under way."""
        return bool(self._tasks or self._claims)

    @property
    def unfinished(self) -> list[str]:
        """The ids of the jobs that run."""
        return [job_id for job_id, _ in self._tasks]

    @property
    def stuck(self) -> int:
        """How many jobs should have ended a whole lease ago; nobody can tell whether their threads ever will."""
        limit = time.monotonic() - self._shop.lease
        return sum(c.overdue_since is not None and c.overdue_since < limit for c in self._running.values())

    @property
    def is_stuck(self) -> bool:
        """Whether they fill half of the slots, so that this process should be replaced by another."""
        return 2 * self.stuck >= self.slots

    def wake(self) -> None:
        """There may be something new to claim."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and start jobs until cancelled; what runs goes on after that, what is then claimed is given back."""
        self._serving = True
        try:
            while True:
                await self._serve()
        finally:
            self._serving = False

    def interrupt(self) -> None:
        """Have every job that runs end soon; async ones are cancelled and given back."""
        for control in list(self._running.values()):
            control.interrupt()

    async def finished(self, limit: float) -> None:
        """Wait until nothing runs and no claim is under way, for at most ``limit`` seconds; not for what is stuck."""
        deadline = time.monotonic() + limit
        while len(self._tasks) + len(self._claims) > self.stuck and (left := deadline - time.monotonic()) > 0:
            under_way: list[asyncio.Future[Any]] = [*self._tasks.values(), *self._claims]
            await asyncio.wait(under_way, timeout=left)

    async def abandon(self) -> None:
        """Let go of what does not end, so that the process can: a second cancellation leaves a thread behind."""
        tasks = list(self._tasks.values())
        for _ in range(2):
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=0)

    async def _serve(self) -> None:
        """Fill the free slots once, and rest where there was not enough to fill them."""
        asked = min(await self._free_slots(), CLAIMED)
        self._wake.clear()
        claimed = await self._claim(asked)
        for job in claimed.jobs:
            self._start(job)
        if any(map(is_suspect, claimed.jobs)):
            # It asks to be alone in its first step: let it, before more is claimed.
            await asyncio.sleep(0)
        elif len(claimed.jobs) < asked:
            await self._rest(claimed.next_due)

    async def _free_slots(self) -> int:
        """Wait until something may be claimed; how much."""
        shop = self._shop
        while True:
            if shop.solitude.wanted:
                await shop.solitude.over()
            elif shop.heartbeat.cut_off or shop.settler.backlog > BACKLOG:
                await asyncio.sleep(RETRY_FIRST)
            elif (free := self.slots + self._spares() - len(self._running)) > 0 and not self.is_stuck:
                return free
            else:
                self._room.clear()
                await self._room.wait()

    def _spares(self) -> int:
        """Slots that stand in for those whose jobs should have ended and have not."""
        overdue = sum(control.overdue for control in self._running.values())
        return min(overdue, self.slots // 2) if overdue else 0

    async def _claim(self, limit: int) -> Claimed:
        shop = self._shop
        request = Claim(
            self.queue, shop.names, limit, shop.lease, shop.identity, fleet_limit=shop.limits.get(self.queue)
        )
        return await until_answered(lambda: self._claim_once(request), self._complain)

    def _complain(self, error: StoreUnavailable) -> None:
        log.warning("nothing can be claimed from %s: %s", self.queue, error, extra={"queue": self.queue})

    async def _claim_once(self, request: Claim) -> Claimed:
        """One claim; where this is cancelled meanwhile, it completes all the same and its jobs are given back."""
        began = time.monotonic()
        claiming = asyncio.ensure_future(self._shop.store.claim(request))
        self._claims.add(claiming)
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claiming.add_done_callback(self._give_back)
            raise
        except BaseException:
            self._claims.discard(claiming)
            raise
        self._claims.discard(claiming)
        if claimed.jobs:
            reached("claim.committed")
        for job in claimed.jobs:
            control = self._running[_attempt(job)] = RunControl(self._room.set)
            self._shop.heartbeat.hold(job, control, began)
        self.claimed += len(claimed.jobs)
        return claimed

    def _give_back(self, claiming: asyncio.Future[Claimed]) -> None:
        self._claims.discard(claiming)
        if claiming.cancelled() or claiming.exception() is not None:
            return
        for job in claiming.result().jobs:
            self._shop.settler.add(job, Released())

    def _start(self, job: ClaimedJob) -> None:
        work = self._work_alone(job) if is_suspect(job) else self._work(job)
        self._tasks[_attempt(job)] = asyncio.get_running_loop().create_task(work)

    async def _work(self, job: ClaimedJob) -> None:
        shop = self._shop
        shop.solitude.entered()
        try:
            await self._run(job)
        finally:
            shop.solitude.left()

    async def _work_alone(self, job: ClaimedJob) -> None:
        async with self._shop.solitude.alone() as turn:
            if turn:
                await self._run(job)
            else:
                self._shop.settler.add(job, Released())
                self._ended(job)

    async def _run(self, job: ClaimedJob) -> None:
        shop = self._shop
        try:
            outcome = await self._outcome(job)
        except asyncio.CancelledError:
            shop.heartbeat.let_go(job)
            raise
        except Exception:
            # Not a handler's error, which is an outcome: the lease runs out, and another worker has its try.
            shown = one_line(job.id)
            log.exception("job %s could not be run", shown, extra={"job_id": shown})
            shop.heartbeat.let_go(job)
        else:
            shop.heartbeat.finished(job)
            shop.settler.add(job, outcome)
        finally:
            self._ended(job)

    async def _outcome(self, job: ClaimedJob) -> Outcome:
        """What became of the attempt: where user code has cancelled the task that it ran in, it has failed."""
        runner, control, task = self._shop.runner, self._running[_attempt(job)], asyncio.current_task()
        try:
            return await runner.run(job, control)
        except asyncio.CancelledError as error:
            # Whoever ends the process ends this worker first.
            if task is None or not self._serving:
                raise
            while task.uncancel():
                continue
            return await runner.judge(job, HandlerExited(error), control)

    def _ended(self, job: ClaimedJob) -> None:
        attempt = _attempt(job)
        del self._running[attempt], self._tasks[attempt]
        self._room.set()
        self._shop.changed.set()

    async def _rest(self, next_due: float | None) -> None:
        """Sleep until woken, until the next job is due, or until it is time to look all the same."""
        self.rests += 1
        self._shop.changed.set()
        nap = self._shop.poll_interval
        if next_due is not None:
            nap = min(nap, next_due + NEVER_EARLY)
        try:
            async with asyncio.timeout(nap):
                await self._wake.wait()
        except TimeoutError:
            return


def _attempt(job: ClaimedJob) -> _Attempt:
    return job.id, job.token
