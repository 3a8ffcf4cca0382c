"""Row 62 on Redis: jobs into which a hand has written what makes no sense, or of which it has left half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bad_inputs.by_hand import held_up
from bad_inputs.case import ON_REDIS, Bench, Case, accepted
from bad_inputs.jobs import Good, SendEmail
from goose_queues import JobNotFound
from redis_hand import RedisHand
from waiting import wait_until


class Edit:
    """What a hand does to one job that is ready."""

    def __init__(self, hand: RedisHand, job: str) -> None:
        self.client = hand.client
        self.job = job
        self.index, self.data = hand.keys(job)

    @property
    def body(self) -> bytes:
        found: bytes = self.client.hget(self.data, self.job)
        return found

    def write(self, body: bytes) -> None:
        self.client.hset(self.data, self.job, body)

    def since(self, lua: str) -> None:
        """Change what has become of it, by a line of Lua that has it as ``run``."""
        script = f"""
        local text = redis.call('HGET', KEYS[1], ARGV[1] .. '\\n')
        local run = text and cmsgpack.unpack(text) or {{}}
        {lua}
        redis.call('HSET', KEYS[1], ARGV[1] .. '\\n', cmsgpack.pack(run))
        """
        self.client.eval(script, 1, self.data, self.job)

    def lift(self) -> None:
        """Take it from its place."""
        ending = self.job.encode()
        members = [member for member in self.client.zrange(self.index, 0, -1) if member.endswith(ending)]
        assert self.client.zrem(self.index, *members)


Act = Callable[[Edit], None]


def edited(what: str, act: Act, *facts: str) -> Case:
    """The job fails by itself; the one behind it runs."""

    async def show(bench: Bench) -> None:
        bad = await beside_a_good_one(bench, act)

        async def failed() -> bool:
            return (await bench.queue.get_status(bad)).status == "failed"

        await wait_until(failed)
        status = await bench.queue.get_status(bad)
        assert [fact for fact in ("corrupt row: ", *facts) if fact not in str(status.error)] == [], status.error
        assert (await bench.kernel.check())["Supervisor.on_run"] is None

    return accepted(62, f"redis-{what}", show, stores=2, places=ON_REDIS)


def got_over(what: str, act: Act) -> Case:
    """What is wrong is no part of the job: it runs like the one behind it."""

    async def show(bench: Bench) -> None:
        assert (await bench.ended(await beside_a_good_one(bench, act))).status == "completed"

    return accepted(62, f"redis-{what}", show, stores=2, places=ON_REDIS)


async def beside_a_good_one(bench: Bench, act: Act) -> str:
    """Have a job edited before another, which runs all the same."""
    assert isinstance(bench.hand, RedisHand)
    async with held_up(bench, "emails"):
        bad = await bench.queue.dispatch(SendEmail(to="bad"))
        good = await bench.queue.dispatch(SendEmail(to="good"))
        act(Edit(bench.hand, bad.id))
    assert await good.result(timeout=30) == "good"
    return bad.id


async def nothing_left(bench: Bench) -> None:
    """What has a place and is nothing else is dropped."""
    bad = await beside_a_good_one(bench, lambda edit: edit.client.hdel(edit.data, edit.job))
    with pytest.raises(JobNotFound):
        await bench.queue.get_status(bad)
    assert isinstance(bench.hand, RedisHand)
    members = bench.hand.client.zrange("goose_{emails}:index", 0, -1)
    assert not [member for member in members if bad.encode() in member]


async def no_result(bench: Bench) -> None:
    """A result that is no JSON is left out, with a note; nobody who asks for the job fails."""
    handle = await bench.queue.dispatch(Good())
    await bench.ended(handle.id)
    assert isinstance(bench.hand, RedisHand)
    Edit(bench.hand, handle.id).since("run.result = '{'")
    status = await bench.queue.get_status(handle.id)
    assert (status.status, status.result, status.note) == ("completed", None, "corrupt row: result is '{'")


def members(*added: bytes) -> Act:
    """Places of nothing."""
    return lambda edit: edit.client.zadd(edit.index, dict.fromkeys(added, 0))


def replaced(old: bytes, new: bytes) -> Act:
    def act(edit: Edit) -> None:
        assert old in edit.body
        edit.write(edit.body.replace(old, new))

    return act


def unknown_state(edit: Edit) -> None:
    edit.lift()
    edit.write(b"z" + edit.body[1:])


def since(lua: str) -> Act:
    return lambda edit: edit.since(lua)


def not_packed(edit: Edit) -> None:
    edit.client.hset(edit.data, f"{edit.job}\n", b"\xc1 no MessagePack")


CASES: list[Any] = [
    edited("body", lambda edit: edit.write(b"nonsense"), "body is 'nonsense'"),
    edited("no-body", lambda edit: edit.write(b""), "body is ''"),
    edited("bytes", lambda edit: edit.write(b"\xff\n\xff")),
    edited("facts", replaced(b'["SendEmail"', b'["SendEmail'), "body is "),
    edited("no-number", replaced(b'["SendEmail",', b'["SendEmail","high",'), "body is "),
    edited("payload", replaced(b'{"to"', b"{to"), "payload of SendEmail: Invalid JSON"),
    edited("payload-bytes", replaced(b'"bad"', b'"\xff"')),
    edited("not-packed", not_packed, "run is "),
    edited("unknown-state", unknown_state, "state is 'z'"),
    edited("attempts", since("run.attempts = 'many'")),
    edited("deaths", since("run.deaths = {}")),
    got_over("place-of-nothing", members(b"r\nSendEmail\n", b"r\n", b"r\nSendEmail\n0000soon", b"r\xff\n")),
    got_over("scheduled-nothing", members(b"s\n", b"s\nsoon", b"s\n0\n0\n0", b"s\n\xff")),
    got_over("leased-nothing", members(b"p\n", b"p\nsoon\nx", b"p\n0000000000000000\nnobody", b"k\nnobody")),
    got_over("message-to-nobody", members(b"o\n", b"o\nnowhere\n0")),
    got_over("over-and-nothing", members(b"c\n", b"f\n0\nnobody", b"x\nsoon", b"\xff")),
    accepted(62, "redis-nothing-left", nothing_left, stores=1, places=ON_REDIS),
    accepted(62, "redis-no-result", no_result, places=ON_REDIS),
]
