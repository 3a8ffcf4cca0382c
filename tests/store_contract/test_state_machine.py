"""Any operations in any order: after each of them the store is what ``model`` says."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeAlias, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from goose_queues.errors import JobConflict
from goose_queues.ids import new_id
from goose_queues.record import (
    BatchProgress,
    BatchRole,
    Cancelled,
    Claim,
    ClaimedJob,
    Completed,
    Failed,
    JobFilter,
    JobRecord,
    NewBatch,
    NewJob,
    Outcome,
    QueueStats,
    Released,
    Retry,
    Settlement,
    Snoozed,
)
from store_contract.making import ERROR, new_job
from store_contract.model import MAX_DEATHS, Conflict, Job, Model
from store_contract.places import EVERYWHERE, ON_DATABASES, ON_SEVERAL, open_or_skip

T = TypeVar("T")

# Clocks are moved by whole thousands, and all else ends half-way between: real time never decides.
STEP = 1000.0
LATER = 1500.0
LEASE = 2500.0
RETENTIONS = (500.0, 1500.0, 3500.0)

NAMES = frozenset({"Work", "Call"})
LIMITS = {"narrow": 2}
SOAK = bool(os.environ.get("GOOSE_SOAK"))

ROLES: tuple[BatchRole, ...] = ("then", "catch", "finally")

Shape: TypeAlias = Sequence[str | list[str]]
"""A chain: the queue of each link, or those of a batch's members."""

QUEUES = ("a", "b", "narrow")
queues = st.sampled_from(QUEUES)
shapes = st.lists(st.one_of(queues, st.lists(queues, max_size=3)), min_size=2, max_size=4)
priorities = st.sampled_from([1, 1, 1, 0, 2])
delays = st.sampled_from([None, None, None, LATER])
roles = st.sampled_from([ROLES, ROLES, ("then",), ("finally",), ()])
picks = st.integers(0, 10_000)
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        Completed(),
        Completed(),
        Completed(),
        Failed(ERROR),
        Failed(ERROR),
        Retry(0, ERROR),
        Retry(LATER, ERROR),
        Snoozed(delay=0),
        Snoozed(delay=LATER),
        Released(),
        Cancelled("why"),
    ]
)


class StoreMachine(RuleBasedStateMachine):
    """One store, driven beside the model."""

    place_name: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.open = AsyncExitStack()
        self.model = Model()
        self.claims: list[ClaimedJob] = []
        """All that were ever made."""
        self.completed: dict[str, JobRecord] = {}
        self.run(self._open())

    def teardown(self) -> None:
        self.run(self.open.aclose())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        self.model.operation += 1
        return self.loop.run_until_complete(work)

    async def _open(self) -> None:
        folder = self.open.enter_context(TemporaryDirectory())
        place = await self.open.enter_async_context(EVERYWHERE[self.place_name](Path(folder)))
        self.store = await open_or_skip(place, self.place_name)
        self.clock = place.clock

    # --- what comes in

    @initialize(
        shapes=st.lists(shapes, min_size=1, max_size=3),
        where=st.lists(queues, min_size=1, max_size=3),
        chain=st.lists(queues, min_size=2, max_size=3),
    )
    def begin(self, shapes: Sequence[Shape], where: Sequence[str], chain: Sequence[str]) -> None:
        """With something of everything, so that each example gets somewhere."""
        for shape in shapes:
            self.insert_chain_of_batches(shape, ROLES)
        self.insert_batch(where, chain, ROLES, LATER)
        self.insert_batch(where, (), ROLES, None)
        self.insert_chain(chain, None)

    @rule(queue=queues, priority=priorities, delay=delays, count=st.integers(1, 3))
    def insert_jobs(self, queue: str, priority: int, delay: float | None, count: int) -> None:
        self._insert([new_job(queue=queue, priority=priority, delay=delay) for _ in range(count)])

    @rule(where=st.lists(queues, min_size=2, max_size=4), delay=delays)
    def insert_chain(self, where: Sequence[str], delay: float | None) -> None:
        self._insert(links_in(where, delay))

    @rule(where=st.lists(queues, max_size=4), chain=st.lists(queues, max_size=3), called=roles, delay=delays)
    def insert_batch(
        self, where: Sequence[str], chain: Sequence[str], called: Sequence[BatchRole], delay: float | None
    ) -> None:
        batch_id = new_id()
        member: dict[str, Any] = {"batch_id": batch_id, "batch_role": "member"}
        members = [new_job(queue=queue, **member) for queue in where] + links_in(chain, delay, **member)
        self._insert(members, NewBatch(batch_id, len(members), callbacks_of(batch_id, called)))

    @rule(shape=shapes, called=roles)
    def insert_chain_of_batches(self, shape: Shape, called: Sequence[BatchRole]) -> None:
        chain_id = new_id()
        jobs: list[NewJob] = []
        batches: list[NewBatch] = []
        for position, link in enumerate(shape):
            place: dict[str, Any] = {"chain_id": chain_id, "position": position}
            if isinstance(link, str):
                jobs.append(new_job(queue=link, **place))
                continue
            batch_id = new_id()
            jobs += [new_job(queue=queue, batch_id=batch_id, batch_role="member", **place) for queue in link]
            batches.append(NewBatch(batch_id, len(link), callbacks_of(batch_id, called), chain_id, position))
        self._insert(jobs, *batches)

    def _insert(self, jobs: Sequence[NewJob], *batches: NewBatch) -> None:
        self.run(self.store.insert(jobs, batches=batches))
        self.model.insert(jobs, batches)

    # --- what workers do

    @rule(picked=picks, most=st.integers(1, 4), slots=st.sampled_from([None, None, 1]))
    def claim(self, picked: int, most: int, slots: int | None) -> None:
        self._claim(self._busy_queue(picked), most, slots)

    @rule(picked=picks, most=st.integers(1, 3), outcome=outcomes)
    def work(self, picked: int, most: int, outcome: Outcome) -> None:
        """Claim and settle at once, as workers do all day."""
        queue = self._busy_queue(picked)
        before = set(self.model.in_state("processing"))
        self._claim(queue, most, None)
        self._settle({job: outcome for job in self.model.in_state("processing") if job not in before})

    def _busy_queue(self, picked: int) -> str:
        """One that has something due, paused or not; else any."""
        busy = sorted({job.new.queue for job in self.model.in_state("pending") if job.due[0] <= self.model.now})
        return one_of(busy or QUEUES, picked)

    def _claim(self, queue: str, most: int, slots: int | None) -> None:
        limit = LIMITS.get(queue)
        expected = self.model.claimable(queue, NAMES, most, limit)
        claimed = self.run(self.store.claim(Claim(queue, NAMES, most, LEASE, "a-worker", slots, limit))).jobs
        taken = [self.model.jobs[job.id] for job in claimed]
        if self.place_name not in ON_DATABASES:
            # What is done in several queues at once is one moment here, and one for each of them there: between jobs that
            # are due since then, ids do not decide.
            assert [job.order[:2] for job in taken] == [job.order[:2] for job in expected]
        else:
            assert taken == expected
        if not claimed:
            return
        self.model.claimed(taken, claimed[0].token, LEASE, slots)
        assert limit is None or self.model.live(queue) <= limit
        for job, known in zip(claimed, taken, strict=True):
            assert job.id not in self.completed
            assert (job.attempt, job.failures, job.deaths) == (known.attempts, known.failures, known.deaths)
            assert (job.failed_with is not None) == known.doomed
            assert (job.batch_role, job.position) == (known.new.batch_role, known.new.position)
            before = [link for link in self.model.chain(job.chain_id) if link.position < known.position]
            assert all(link.state == "completed" for link in before), "a link begins before its turn"
        self.claims += claimed

    @precondition(lambda self: self.model.in_state("processing"))
    @rule(data=st.data(), count=st.integers(1, 4), picked=picks)
    def settle(self, data: st.DataObject, count: int, picked: int) -> None:
        running = self.model.in_state("processing")
        chosen = [running[(picked + place) % len(running)] for place in range(min(count, len(running)))]
        self._settle({job: data.draw(outcomes) for job in chosen})

    def _settle(self, ending: dict[Job, Outcome]) -> None:
        # What has failed by its deaths is not run: all that can come of it is its failure, or a release.
        ending = {
            job: outcome if not job.doomed or isinstance(outcome, Released) else Failed(ERROR)
            for job, outcome in ending.items()
        }
        pack = [Settlement(self._lease_of(job), outcome) for job, outcome in ending.items()]
        assert self.run(self.store.settle(pack)) == frozenset()
        self.model.settle(ending.items())

    @precondition(lambda self: self._stale())
    @rule(picked=picks, outcome=outcomes)
    def settle_without_a_lease(self, picked: int, outcome: Outcome) -> None:
        stale = self._a_stale_one(picked)
        assert self.run(self.store.settle([Settlement(stale, outcome)])) == {stale.id}

    @precondition(lambda self: self._stale() and self.model.in_state("processing"))
    @rule(picked=picks)
    def settle_a_pack_of_which_one_is_lost(self, picked: int) -> None:
        job = one_of(self.model.in_state("processing"), picked)
        others = [claim for claim in self._stale() if claim.id != job.new.id]
        if not others:
            return
        stale = one_of(others, picked)
        outcome: Outcome = Failed(ERROR) if job.doomed else Completed()
        pack = [Settlement(stale, Completed()), Settlement(self._lease_of(job), outcome)]
        assert self.run(self.store.settle(pack)) == {stale.id}
        self.model.settle([(job, outcome)])

    @precondition(lambda self: self._extendable())
    @rule(picked=picks)
    def extend(self, picked: int) -> None:
        job = one_of(self._extendable(), picked)
        tokens = {job.new.id: self._lease_of(job).token}
        assert self.run(asyncio.to_thread(self.store.extend, tokens, LEASE)) == frozenset()
        self.model.extended(job, LEASE)

    @precondition(lambda self: self._stale())
    @rule(picked=picks)
    def report_without_a_lease(self, picked: int) -> None:
        stale = self._a_stale_one(picked)
        assert self.run(asyncio.to_thread(self.store.extend, {stale.id: stale.token}, LEASE)) == {stale.id}
        assert self.run(self.store.progress(stale.id, stale.token, "{}")) is False

    @precondition(lambda self: any(job.due[0] > self.model.now for job in self.model.in_state("pending")))
    @rule(steps=st.integers(1, 4))
    def let_time_pass(self, steps: int) -> None:
        self.clock.offset += steps * STEP
        self.model.now += steps * STEP

    @precondition(lambda self: self.model.in_state("processing"))
    @rule(patient=st.booleans())
    def rescue(self, patient: bool) -> None:
        if not patient:
            self.let_time_pass(3)
        rescued = self.run(self.store.rescue(1_000, MAX_DEATHS))
        assert (rescued.returned, rescued.failed, rescued.cancelled) == self.model.rescue()

    @precondition(lambda self: self.model.in_state("processing"))
    @rule(picked=picks)
    def kill_its_workers(self, picked: int) -> None:
        """The way to a job that has failed by its deaths, which is long otherwise."""
        job = one_of(self.model.in_state("processing"), picked)
        job_id, queue = job.new.id, job.new.queue
        for _ in range(3):
            self.rescue(patient=False)
            if job_id not in self.model.jobs or job.state != "pending" or queue in self.model.paused:
                return
            self._claim(queue, 4, None)

    # --- what people do

    @precondition(lambda self: self.model.jobs)
    @rule(picked=picks)
    def cancel(self, picked: int) -> None:
        job = one_of(list(self.model.jobs.values()), picked)
        self._steer(self.store.cancel(job.new.id, "why"), lambda: self.model.cancel(job))
        asked = {(request.job_id, request.token) for request in self.run(self.store.cancel_requests())}
        assert asked == {(one.new.id, one.token) for one in self.model.in_state("processing") if one.cancel_requested}

    @precondition(lambda self: self.model.in_state("failed", "cancelled"))
    @rule(picked=picks)
    def retry(self, picked: int) -> None:
        job = one_of(self.model.in_state("failed", "cancelled"), picked)
        self._steer(self.store.retry(job.new.id), lambda: self.model.retry(job))

    @precondition(lambda self: self.model.in_state("failed", "cancelled"))
    @rule(picked=picks, outcome=outcomes)
    def retry_and_run(self, picked: int, outcome: Outcome) -> None:
        job = one_of(self.model.in_state("failed", "cancelled"), picked)
        self._steer(self.store.retry(job.new.id), lambda: self.model.retry(job))
        self._claim(job.new.queue, 4, None)
        if job.state == "processing":
            self._settle({job: outcome})

    @precondition(lambda self: self.model.in_state("pending", "waiting", "processing", "completed"))
    @rule(picked=picks)
    def retry_what_has_not_failed(self, picked: int) -> None:
        job = one_of(self.model.in_state("pending", "waiting", "processing", "completed"), picked)
        self._steer(self.store.retry(job.new.id), lambda: self.model.retry(job))

    @precondition(lambda self: self.model.in_state("pending", "waiting"))
    @rule(picked=picks)
    def purge(self, picked: int) -> None:
        """Of all queues the one with the fewest, mostly, so that something is left for the others."""
        pending = Counter(job.new.queue for job in self.model.in_state("pending", "waiting"))
        queue = one_of(sorted(pending, key=lambda queue: (pending[queue], queue)), picked % 4 // 3 * picked)
        assert self.run(self.store.purge(queue, 1_000)).deleted == self.model.purge(queue)

    @rule(queue=queues)
    def pause_or_resume(self, queue: str) -> None:
        if queue in self.model.paused:
            self.run(self.store.resume(queue))
        else:
            self.run(self.store.pause(queue))
        self.model.paused ^= {queue}

    @precondition(lambda self: any(job.is_over for job in self.model.jobs.values()))
    @rule(retention=st.sampled_from(RETENTIONS), chunk=st.integers(1, 5), waiting=st.integers(0, 2))
    def prune(self, retention: float, chunk: int, waiting: int) -> None:
        self.let_time_pass(waiting)
        deleted, cursor = 0, None
        while True:
            pruned = self.run(self.store.prune(retention, chunk, cursor))
            assert pruned.deleted <= chunk
            deleted, cursor = deleted + pruned.deleted, pruned.cursor
            if cursor is None:
                break
        gone = set(self.model.jobs)
        assert deleted == self.model.prune(retention)
        for job_id in gone - set(self.model.jobs):
            self.completed.pop(job_id, None)

    def _steer(self, work: Coroutine[Any, Any, None], in_the_model: Any) -> None:
        """Both do it, or both refuse."""
        try:
            self.run(work)
        except JobConflict:
            with pytest.raises(Conflict):
                in_the_model()
        else:
            in_the_model()

    # --- what is always so

    @invariant()
    def jobs_are_what_the_model_says(self) -> None:
        records = self.run(self.store.jobs(JobFilter(), 1_000)).records
        assert len(records) == len({record.id for record in records}), "one is listed twice"
        assert {record.id: shown(record) for record in records} == {
            job.new.id: (
                "pending" if job.state == "waiting" else job.state,
                job.attempts,
                job.failures,
                job.deaths,
                job.cancel_requested,
                job.finished is not None,
                job.new.queue,
                job.new.batch_role,
            )
            for job in self.model.jobs.values()
        }
        for record in records:
            if record.status == "completed":
                assert self.completed.setdefault(record.id, record) == record, "it has changed"
        self._check_stats(records)

    def _check_stats(self, records: Sequence[JobRecord]) -> None:
        stats = self.run(self.store.stats())
        oldest = {queue: one.oldest_pending_at for queue, one in stats.items()}
        plain = {queue: replace(one, oldest_pending_at=None) for queue, one in stats.items()}
        expected = self.model.stats()
        assert {queue: one for queue, one in plain.items() if one != QueueStats()} == expected
        by_id = {record.id: record for record in records}
        for queue in expected:
            due = [by_id[job.new.id].available_at for job in self.model.due(queue)]
            assert oldest[queue] == min(due, default=None)
        counted = Counter((record.queue, record.status) for record in records)
        for queue, one in stats.items():
            assert one.pending + one.scheduled == counted[queue, "pending"]
            for status in ("processing", "completed", "failed", "cancelled"):
                assert getattr(one, status) == counted[queue, status]

    @invariant()
    def batches_are_what_the_model_says(self) -> None:
        async def all_of_them() -> list[BatchProgress | None]:
            return [await self.store.batch(batch_id) for batch_id in self.model.batches]

        for batch, progress in zip(self.model.batches.values(), self.run(all_of_them()), strict=True):
            assert progress is not None
            assert progress == self.model.progress(batch, progress)

    # --- who holds what

    def _lease_of(self, job: Job) -> ClaimedJob:
        return next(claim for claim in reversed(self.claims) if claim.id == job.new.id)

    def _stale(self) -> list[ClaimedJob]:
        """Claims whose lease has been taken, given back or settled."""
        held = {(job.new.id, job.token) for job in self.model.in_state("processing")}
        return [claim for claim in self.claims if (claim.id, claim.token) not in held]

    def _a_stale_one(self, picked: int) -> ClaimedJob:
        """Of a job that somebody else runs by now, if there is one."""
        stale, running = self._stale(), {job.new.id for job in self.model.in_state("processing")}
        return one_of([claim for claim in stale if claim.id in running] or stale, picked)

    def _extendable(self) -> list[Job]:
        """Leases that are held; under a limit only while they live, since a lapsed one has given its slot away."""
        return [
            job
            for job in self.model.in_state("processing")
            if job.new.queue not in LIMITS or job.lease_end > self.model.now
        ]


def links_in(where: Sequence[str], delay: float | None, **fields: Any) -> list[NewJob]:
    chain_id = new_id()
    return [
        new_job(queue=queue, chain_id=chain_id, position=place, delay=None if place else delay, **fields)
        for place, queue in enumerate(where)
    ]


def callbacks_of(batch_id: str, called: Sequence[BatchRole]) -> tuple[NewJob, ...]:
    return tuple(new_job(name="Call", queue="a", batch_id=batch_id, batch_role=role) for role in called)


def one_of(things: Sequence[T], picked: int) -> T:
    return things[picked % len(things)]


def shown(record: JobRecord) -> tuple[object, ...]:
    return (
        record.status,
        record.attempts,
        record.failures,
        record.deaths,
        record.cancel_requested,
        record.finished_at is not None,
        record.queue,
        record.batch_role,
    )


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("turn", range(20 if SOAK else 1))
def test_whatever_is_done_in_whatever_order(name: str, turn: int) -> None:
    machine = type("Machine", (StoreMachine,), {"place_name": name})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100 if SOAK else 10 if name in ON_SEVERAL else 60,
            stateful_step_count=80 if SOAK else 30,
            deadline=None,
            print_blob=True,
            # Each try makes a store anew: to find the shortest failure takes minutes, and forty steps can be read.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
