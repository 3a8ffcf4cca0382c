"""The checker sees each of the bugs that are planted in our code, one at a time, and nothing without them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

import goose
from checker import Dispatched, History, Kind, check
from faults.application import RETRY_DELAY, Limited, Seed, Step, application
from fleet import Fleet
from goose_queues import Client
from waiting import wait_until

# The bugs are planted in SQLite's words; what the checker sees of them is the same anywhere.
pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)

Scene: TypeAlias = Callable[[Fleet, str], Awaitable[History]]

SHORT_LEASE = 2.0


async def a_kill(fleet: Fleet, planted: str) -> History:
    """A worker dies over jobs that run, one of which has dispatched others; a second worker goes on."""
    async with dispatching(fleet) as queue:
        steps = await queue.dispatch_many(Step(gate=gate(fleet, "step")) for _ in range(3))
        seed = await queue.dispatch(Seed(delays=(0, 0, 0), gate=gate(fleet, "step")))
    victim = fleet.start("worker", PLANTED=planted)
    await wait_until(lambda: started(fleet) >= {seed.id, *(step.id for step in steps)})
    await wait_until(lambda: len(fleet.ledger.by_job("dispatched")) == 3)
    fleet.kill(victim)
    fleet.end_leases(victim)
    open_gate(fleet, "step", 1, 2)
    fleet.start("worker", PLANTED=planted)
    await wait_until(fleet.is_over)
    return fleet.history(known(seed.id, *(step.id for step in steps)))


async def a_kill_between_links(fleet: Fleet, planted: str) -> History:
    """A worker dies as soon as the second link of a chain has begun."""
    async with dispatching(fleet) as queue:
        chain = await queue.chain(Step(), Step(gate=gate(fleet, "link"))).dispatch()
    victim = fleet.start("worker", PLANTED=planted)
    await wait_until(lambda: chain.ids[1] in started(fleet))
    fleet.kill(victim)
    fleet.end_leases(victim)
    open_gate(fleet, "link", 1, 2)
    fleet.start("worker")
    await wait_until(fleet.is_over)
    return fleet.history(known(*chain.ids), chains=[chain.ids])


async def a_frozen_worker(fleet: Fleet, planted: str) -> History:
    """A worker stands still until its job runs elsewhere; then its attempt fails."""
    async with dispatching(fleet) as queue:
        job = await queue.dispatch(Step(gate=gate(fleet, "step"), failing=(1,)))
    frozen = fleet.start("worker", PLANTED=planted)
    await wait_until(lambda: starts(fleet, job.id) == 1)
    fleet.freeze(frozen)
    fleet.end_leases(frozen)
    fleet.start("worker", PLANTED=planted)
    await wait_until(lambda: starts(fleet, job.id) == 2)
    open_gate(fleet, "step", 1)
    fleet.thaw(frozen)
    await wait_until(lambda: starts(fleet, job.id) > 2 or "its outcome is dropped" in fleet.log.read_text())
    open_gate(fleet, "step", 2, 3)
    await wait_until(fleet.is_over)
    return fleet.history(known(job.id))


async def two_rescuers(fleet: Fleet, planted: str) -> History:
    """Two processes see the same dead lease; the second acts when the job runs again."""
    async with dispatching(fleet) as queue:
        job = await queue.dispatch(Step(gate=gate(fleet, "step")))
    victim = fleet.start("worker")
    await wait_until(lambda: starts(fleet, job.id) == 1)
    for order in ("first", "second"):
        fleet.start("worker", PLANTED=planted, RESCUER=order)
    fleet.kill(victim)
    fleet.end_leases(victim)
    await wait_until(lambda: sum(entry.note == "given back" for entry in fleet.ledger.read()) == 2)
    if planted == "rescue_unfenced":
        await wait_until(lambda: starts(fleet, job.id) == 3)
    open_gate(fleet, "step", 2, 3)
    await wait_until(fleet.is_over)
    return fleet.history(known(job.id))


async def a_newcomer(fleet: Fleet, planted: str) -> History:
    """A worker starts while another works on the same host."""
    async with dispatching(fleet) as queue:
        first = await queue.dispatch(Step(gate=gate(fleet, "step")))
        fleet.start("worker", workers=1, PLANTED=planted)
        await wait_until(lambda: first.id in started(fleet))
        fleet.start("worker", workers=2, PLANTED=planted)
        second = await queue.dispatch(Step(gate=gate(fleet, "step")))
    await wait_until(lambda: second.id in started(fleet))
    open_gate(fleet, "step", 1, 2)
    await wait_until(fleet.is_over)
    return fleet.history(known(first.id, second.id))


async def a_quiet_day(fleet: Fleet, planted: str) -> History:
    """Two workers and no fault: due times, failures, a limit, a batch, and plenty of small jobs."""
    limits = {"GOOSE_QUEUES_LIMITS": '{"limited": 1}'}
    workers = [fleet.start("worker", workers=4, PLANTED=planted, **limits) for _ in range(2)]
    await wait_until(lambda: {worker.pid for worker in workers} <= {entry.pid for entry in fleet.ledger.read()})
    async with dispatching(fleet) as queue:
        seed = await queue.dispatch(Seed(delays=(0.3, 0.45, 0.6, 0.75, 0.9)))
        failing = await queue.dispatch(Step(failing=(1,))).priority(9)
        limited = await queue.dispatch_many(Limited(seconds=0.05) for _ in range(10))
        small = await queue.dispatch_many(Step(seconds=0.01) for _ in range(100))
        batch = await queue.batch(Step(seconds=0.01) for _ in range(40)).finally_(Step()).dispatch()
    await wait_until(fleet.is_over)
    facts = known(seed.id, failing.id, *batch.ids, *(job.id for job in (*limited, *small)))
    facts[failing.id] = Dispatched(retry_delay=RETRY_DELAY)
    facts |= {job.id: Dispatched(queue="limited") for job in limited}
    return fleet.history(facts, limits={"limited": 1}, batches=[fleet.callbacks(batch.id, batch.ids, "finally")])


async def a_long_job(fleet: Fleet, planted: str) -> History:
    """A job runs for longer than the lease, with another worker beside."""
    async with dispatching(fleet) as queue:
        job = await queue.dispatch(Step(seconds=SHORT_LEASE * 1.5))
    fleet.lease = SHORT_LEASE
    for _ in range(2):
        fleet.start("worker", PLANTED=planted, SHORT_LEASE=str(SHORT_LEASE))
    await wait_until(lambda: fleet.is_over() or starts(fleet, job.id) > 1)
    return fleet.history(known(job.id))


SCENES = (
    a_kill,
    a_kill_between_links,
    a_frozen_worker,
    two_rescuers,
    a_newcomer,
    a_quiet_day,
    a_long_job,
)
RUN_TWICE: set[Kind] = {"overlap", "double"}
"""A worker that has a job for the second time ends its own first attempt before."""
CAUGHT: tuple[tuple[str, Scene, set[Kind]], ...] = (
    ("delete_on_claim", a_kill, {"lost"}),
    ("complete_on_claim", a_kill, {"no end"}),
    ("count_attempts_on_failure", a_kill, {"attempts"}),
    ("acknowledge_before_commit", a_kill, {"lost"}),
    ("release_before_settling", a_kill_between_links, {"chain order"}),
    ("settle_unfenced", a_frozen_worker, RUN_TWICE),
    ("rescue_unfenced", two_rescuers, RUN_TWICE),
    ("identity_of_host", a_newcomer, RUN_TWICE),
    ("claim_without_a_lock", a_quiet_day, RUN_TWICE),
    ("due_in_whole_seconds", a_quiet_day, {"early"}),
    ("retry_at_once", a_quiet_day, {"early retry"}),
    ("limit_in_memory", a_quiet_day, {"limit"}),
    ("count_batches_by_hand", a_quiet_day, {"callback missing"}),
    ("never_extend", a_long_job, RUN_TWICE),
    ("rescue_by_start", a_long_job, RUN_TWICE),
    ("lease_by_own_clock", a_long_job, RUN_TWICE),
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_nothing_is_wrong_without_a_bug(fleet: Fleet, scene: Scene) -> None:
    history = await scene(fleet, "rescue_fenced" if scene is two_rescuers else "")
    assert check(history) == []
    assert bool(history.faults) == ("kill" in scene.__name__ or scene in {a_frozen_worker, two_rescuers})


@pytest.mark.parametrize(("bug", "scene", "kinds"), CAUGHT, ids=[bug for bug, _, _ in CAUGHT])
async def test_a_bug_is_caught(fleet: Fleet, bug: str, scene: Scene, kinds: set[Kind]) -> None:
    violations = check(await scene(fleet, bug))
    assert {violation.kind for violation in violations} & kinds, violations
    assert "Traceback" not in fleet.log.read_text(), "the planted code does not fit ours any more"


@asynccontextmanager
async def dispatching(fleet: Fleet) -> AsyncIterator[Client]:
    """A client in this process, which works on nothing."""
    async with goose.running(application("worker", fleet.url, fleet.ledger.path)) as kernel:
        yield kernel.get(Client)


def known(*jobs: str) -> dict[str, Dispatched]:
    return dict.fromkeys(jobs, Dispatched())


def started(fleet: Fleet) -> set[str]:
    return set(fleet.ledger.by_job("start"))


def starts(fleet: Fleet, job: str) -> int:
    return len(fleet.ledger.by_job("start")[job])


def gate(fleet: Fleet, name: str) -> str:
    return str(fleet.folder / name)


def open_gate(fleet: Fleet, name: str, *attempts: int) -> None:
    for attempt in attempts:
        Path(f"{gate(fleet, name)}.{attempt}").touch()
