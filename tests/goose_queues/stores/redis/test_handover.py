"""What has to happen in another queue happens once, whatever is lost on the way there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from goose_queues.clock import Clock
from goose_queues.errors import JobExists, StoreUnavailable
from goose_queues.ids import new_id
from goose_queues.record import Completed, Failed, NewBatch, NewJob, Released
from goose_queues.stores.redis.errors import AnswerLost
from goose_queues.stores.redis.parcels import LARGE
from goose_queues.stores.redis.servers import Run, Servers
from goose_queues.stores.redis.store import RedisStore
from servers.several import SEVERAL, several
from servers.shared import room
from store_contract.making import (
    ERROR,
    LEASE,
    MAX_DEATHS,
    calls,
    claim,
    counts_of,
    ids,
    members_of,
    new_batch,
    new_job,
    progress_of,
    record_of,
    settle,
    settle_all,
    statuses,
)

HOUR = 3600.0


class Unlucky(Servers):
    """Loses what a test says."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.unsent: set[str] = set()
        """Scripts that do not come through."""
        self.away: set[str] = set()
        """Keys whose server does not answer."""
        self.unanswered: list[str] = []
        """Scripts that do, each once, although nobody hears of it."""

    async def run(self, run: Run) -> Any:
        if run.script.name in self.unsent or self.away.intersection(run.keys):
            raise StoreUnavailable(self.url, "it is too far away.")
        answer = await super().run(run)
        if run.script.name in self.unanswered:
            self.unanswered.remove(run.script.name)
            raise AnswerLost(self.url, "the line is dead.")
        return answer

    @contextmanager
    def losing(self, *scripts: str) -> Iterator[None]:
        """Let these not come through."""
        self.unsent |= set(scripts)
        try:
            yield
        finally:
            self.unsent -= set(scripts)


@pytest.fixture(params=["redis", *SEVERAL])
async def servers(request: pytest.FixtureRequest) -> Unlucky:
    """In the cluster, the queues a and b are on different nodes."""
    if request.param in SEVERAL:
        return Unlucky(several(request.param).entrance)
    there = room("redis")
    there.empty()
    return Unlucky(there.url.render_as_string(hide_password=False))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(servers: Unlucky, clock: Clock) -> AsyncIterator[RedisStore]:
    store = RedisStore(servers, clock)
    await store.open()
    yield store
    await store.close()


def chain_over(*queues: str) -> list[NewJob]:
    chain_id = new_id()
    return [new_job(queue=queue, chain_id=chain_id, position=place) for place, queue in enumerate(queues)]


async def fields_of(servers: Servers, queue: str) -> Sequence[str]:
    """The fields that are left in the data of a queue, without those that stay."""
    found: Sequence[str] = await servers.command("HKEYS", f"goose_{{{queue}}}:data")
    return [field for field in found if field and not field.startswith(("hungry", "sent", "heard"))]


async def rescue(store: RedisStore) -> None:
    await store.rescue(100, MAX_DEATHS)


@pytest.mark.parametrize("script", ["deliver", "outbox"])
async def test_the_next_link_comes_once_however_often_it_is_brought(
    store: RedisStore, servers: Unlucky, script: str
) -> None:
    first, second, third = chain_over("a", "b", "a")
    await store.insert([first, second, third])
    with servers.losing(script):
        await settle(store, (await claim(store, queue="a")).jobs[0], Completed())
    for _ in range(3):
        await rescue(store)
    assert ids(await claim(store, queue="b")) == [second.id]
    assert await statuses(store, [first, second, third]) == ["completed", "processing", "pending"]
    assert [name for name in await fields_of(servers, "a") if name.startswith("o\n")] == []


async def test_what_was_brought_and_not_answered_is_not_done_again(store: RedisStore, servers: Unlucky) -> None:
    first, second = chain_over("a", "b")
    await store.insert([first, second])
    servers.unanswered.append("deliver")
    await settle(store, (await claim(store, queue="a")).jobs[0], Completed())
    job = (await claim(store, queue="b")).jobs[0]
    await settle(store, job, Released())
    await rescue(store)
    assert (await record_of(store, second)).attempts == 0
    assert ids(await claim(store, queue="b")) == [second.id]


async def test_messages_are_heard_in_their_order(store: RedisStore, servers: Unlucky) -> None:
    """What comes after a message that was not brought brings that one along."""
    chains = [chain_over("a", "b") for _ in range(3)]
    for chain in chains:
        await store.insert(chain)
    jobs = (await claim(store, queue="a")).jobs
    with servers.losing("deliver"):
        await settle_all(store, jobs[:2], Completed())
    assert ids(await claim(store, queue="b")) == []
    await settle_all(store, jobs[2:], Completed())
    assert ids(await claim(store, queue="b")) == [second.id for _, second in chains]


async def test_a_dispatch_to_several_queues_is_there_although_its_process_died(
    store: RedisStore, servers: Unlucky
) -> None:
    jobs = [new_job(queue=queue, delay=delay) for queue in ("a", "b", "c") for delay in (None, 60.0)]
    with servers.losing("deliver"):
        await store.insert(jobs)
    assert ids(await claim(store, queue="b")) == []
    await rescue(store)
    assert await statuses(store, jobs) == ["pending"] * 6
    at = {job.id: await record_of(store, job) for job in jobs}
    assert len({at[job.id].created_at for job in jobs}) == 1, "when it was dispatched, not when it came there"
    assert len({at[job.id].available_at for job in jobs}) == 2


async def test_a_batch_over_several_queues_calls_back_once(store: RedisStore, servers: Unlucky) -> None:
    batch_id = new_id()
    members = [new_job(queue=queue, batch_id=batch_id, batch_role="member") for queue in ("a", "b", "c")]
    roles = ("then", "catch", "finally")
    callbacks = tuple(new_job(name="Call", batch_id=batch_id, batch_role=role) for role in roles)
    batch = NewBatch(batch_id, 3, callbacks)
    await store.insert(members, batches=[batch])
    with servers.losing("deliver"):
        for queue in ("a", "b"):
            await settle(store, (await claim(store, queue=queue)).jobs[0], Completed())
        failed = (await claim(store, queue="c")).jobs[0]
        await settle(store, failed, Failed(ERROR))
    assert await counts_of(store, batch) == (0, 0, 2, 1, 0)
    assert await calls(store) == []
    for _ in range(2):
        await rescue(store)
    assert await calls(store) == ["catch", "finally"]
    await store.retry(failed.id)
    assert (await progress_of(store, batch)).finished_at is None
    await settle(store, (await claim(store, queue="c")).jobs[0], Completed())
    assert await calls(store) == ["then"]


async def test_a_link_that_was_cancelled_meanwhile_says_so(store: RedisStore, servers: Unlucky) -> None:
    """Its home lets it go on, and learns that it is over already: what is behind it does not wait for ever."""
    first, second, third = chain_over("a", "b", "a")
    await store.insert([first, second, third])
    with servers.losing("deliver"):
        await store.cancel(second.id, "not wanted")
        await settle(store, (await claim(store, queue="a")).jobs[0], Completed())
    await rescue(store)
    assert await statuses(store, [first, second, third]) == ["completed", "cancelled", "cancelled"]
    await store.retry(second.id)
    assert await statuses(store, [second, third]) == ["pending", "pending"]
    await settle(store, (await claim(store, queue="b")).jobs[0], Completed())
    assert ids(await claim(store, queue="a")) == [third.id]


class TestAnswersThatAreLost:
    async def test_of_a_dispatch(self, store: RedisStore, servers: Unlucky) -> None:
        job = new_job()
        servers.unanswered.append("insert")
        await store.insert([job])
        with pytest.raises(JobExists):
            await store.insert([job])
        assert ids(await claim(store)) == [job.id]

    async def test_of_a_batch_without_members(self, store: RedisStore, servers: Unlucky) -> None:
        _, batch = new_batch(0, "then")
        servers.unanswered.append("insert")
        await store.insert([], batches=[batch])
        assert await calls(store) == ["then"]
        assert (await store.stats())["default"].pending == 0

    async def test_of_a_claim(self, store: RedisStore, servers: Unlucky) -> None:
        jobs = [new_job(), new_job()]
        await store.insert(jobs)
        servers.unanswered.append("claim")
        claimed = await claim(store)
        assert [(job.id, job.attempt, job.payload) for job in claimed.jobs] == [
            (job.id, 1, job.payload) for job in jobs
        ]
        await settle_all(store, claimed.jobs, Completed())

    async def test_of_a_claim_that_found_nothing(self, store: RedisStore, servers: Unlucky) -> None:
        servers.unanswered.append("claim")
        with pytest.raises(StoreUnavailable):
            await claim(store)

    async def test_of_outcomes(self, store: RedisStore, servers: Unlucky) -> None:
        first, second = chain_over("a", "b")
        await store.insert([first, second])
        job = (await claim(store, queue="a")).jobs[0]
        servers.unanswered.append("settle")
        with pytest.raises(StoreUnavailable):
            await settle(store, job, Completed("1"))
        assert await settle(store, job, Completed("1")) == frozenset(), "it has been written"
        await rescue(store)
        assert ids(await claim(store, queue="b")) == [second.id]
        assert await settle(store, job, Completed("1")) == {first.id}, "nobody is in doubt any more"


class TestALargeDispatch:
    async def test_is_there_at_once(self, store: RedisStore, servers: Unlucky) -> None:
        """Until all of its pieces are there, it is not; from then on it is, whoever dies."""
        batch_id = new_id()
        members = members_of(batch_id, LARGE + 1) + members_of(batch_id, LARGE + 1, queue="b")
        batch = NewBatch(batch_id, len(members))
        with servers.losing("commit"), pytest.raises(StoreUnavailable):
            await store.insert(members, batches=[batch])
        assert await store.batch(batch_id) is None
        assert ids(await claim(store)) == ids(await claim(store, queue="b")) == []
        members = [new_job(queue=job.queue, batch_id=batch_id, batch_role="member") for job in members]
        with servers.losing("deliver"):
            await store.insert(members, batches=[batch])
        assert (await progress_of(store, batch)).total == len(members)
        await rescue(store)
        stats = await store.stats()
        assert (stats["default"].pending, stats["b"].pending) == (LARGE + 1, LARGE + 1)
        for queue in ("default", "b"):
            while jobs := (await claim(store, 500, queue=queue)).jobs:
                await settle_all(store, jobs, Completed())
        assert await counts_of(store, batch) == (0, 0, len(members), 0, 0)

    @pytest.mark.parametrize("script", ["stage", "commit", "deliver"])
    async def test_comes_through_although_an_answer_was_lost(
        self, store: RedisStore, servers: Unlucky, script: str
    ) -> None:
        jobs = [new_job() for _ in range(2 * LARGE)]
        servers.unanswered.append(script)
        await store.insert(jobs)
        await rescue(store)
        assert (await store.stats())["default"].pending == 2 * LARGE

    async def test_leaves_nothing_behind_that_was_given_up(
        self, store: RedisStore, servers: Unlucky, clock: Clock
    ) -> None:
        batch_id, chain = new_id(), chain_over("default", "b")
        members = [*members_of(batch_id, LARGE), *chain]
        with servers.losing("commit"), pytest.raises(StoreUnavailable):
            await store.insert(members, batches=[NewBatch(batch_id, LARGE)])
        await rescue(store)
        assert [field for field in await fields_of(servers, "default") if field.startswith("t\n")] != []
        clock.offset += HOUR + 1
        await rescue(store)
        assert await fields_of(servers, "default") == []
        assert await servers.command("ZRANGE", "goose_{default}:index", 0, -1) == [""]

    @pytest.mark.parametrize("lost", [1, 2])
    async def test_is_not_stored_in_part(
        self, store: RedisStore, servers: Unlucky, lost: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server may have lost its last moments on the way: then nothing is there, and the caller is told so."""
        run = servers.run

        async def run_after_a_crash(one: Run) -> Any:
            if one.script.name == "commit":
                index = "goose_{default}:index"
                pieces = await servers.command("ZRANGEBYLEX", index, "[t\n", "(t\n~")
                await servers.command("ZREM", index, *pieces[-lost:])
            return await run(one)

        monkeypatch.setattr(servers, "run", run_after_a_crash)
        with pytest.raises(StoreUnavailable, match="it has lost a part of what was sent to it: dispatch it again"):
            await store.insert([new_job() for _ in range(2 * LARGE)])
        assert (await store.stats())["default"].pending == 0

    async def test_that_is_there_already_is_refused(self, store: RedisStore) -> None:
        jobs = [new_job() for _ in range(LARGE + 5)]
        await store.insert(jobs[-1:])
        with pytest.raises(JobExists):
            await store.insert(jobs)
        assert (await store.stats())["default"].pending == 1


async def test_a_node_that_is_away_keeps_no_dead_job_of_another_waiting(
    store: RedisStore, servers: Unlucky, clock: Clock
) -> None:
    jobs = {queue: new_job(queue=queue) for queue in ("a", "b", "c")}
    await store.insert(list(jobs.values()))
    for queue in jobs:
        await claim(store, queue=queue)
    clock.offset += LEASE + 1
    servers.away = {"goose_{a}:index", "goose_{b}:index"}
    rescued = await store.rescue(100, MAX_DEATHS)
    assert (rescued.returned, rescued.queues) == (1, frozenset({"c"}))
    with pytest.raises(StoreUnavailable):
        await store.rescue(100, MAX_DEATHS)
    servers.away = set()
    assert (await store.rescue(100, MAX_DEATHS)).queues == {"a", "b"}
