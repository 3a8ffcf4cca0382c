"""``Client.jobs``: jobs as they are iterated over, page by page; what may be asked for, and what may not."""

from __future__ import annotations

from typing import Any

import pytest

from goose_queues import Client, InvalidFilter, Job, JobContext, JobStatus
from goose_queues.testing import drain
from queue_apps import Boot


class Ping(Job, queue="pings", max_retries=0):
    number: int = 0

    async def handle(self, ctx: JobContext) -> int:
        if self.number < 0:
            raise ValueError("negative")
        return self.number


class Pong(Job):
    async def handle(self, ctx: JobContext) -> None: ...


async def ids(listing: Any) -> list[str]:
    return [job.id async for job in listing]


async def test_what_is_listed(boot: Boot) -> None:
    """Each job as its status shows it, without its payload: what is due first, then what has finished."""
    async with boot(Ping, Pong) as kernel:
        client = kernel.get(Client)
        done = await client.dispatch(Ping(number=3)).meta(tenant="acme")
        failed = await client.dispatch(Ping(number=-1))
        await drain(kernel)
        later = await client.dispatch(Pong()).delay(60)
        due = await client.dispatch(Pong())
        listed = [job async for job in client.jobs()]
        assert [job.id for job in listed] == [due.id, later.id, failed.id, done.id]
        assert [await handle.status() for handle in (due, later, failed, done)] == listed
    assert all(isinstance(job, JobStatus) for job in listed)
    assert [job.status for job in listed] == ["pending", "pending", "failed", "completed"]
    assert (listed[2].error, listed[3].result, listed[3].meta) == ("ValueError: negative", 3, {"tenant": "acme"})
    assert not hasattr(listed[0], "payload")


async def test_filters(boot: Boot) -> None:
    """A listing is narrowed by queue, status, name, chain and batch."""
    async with boot(Ping, Pong) as kernel:
        client = kernel.get(Client)
        ping, pong = await client.dispatch(Ping()), await client.dispatch(Pong())
        chain = await client.chain(Ping(), Pong()).dispatch()
        batch = await client.batch([Pong(), Pong()]).then(Ping()).dispatch()
        assert await ids(client.jobs(queue="pings")) == [ping.id, chain.ids[0]]
        assert await ids(client.jobs(queue="pings", status="failed", limit=100)) == []
        assert await ids(client.jobs(name="Pong", status="pending")) == [pong.id, *batch.ids, chain.ids[1]]
        assert await ids(client.jobs(chain=chain.id)) == list(chain.ids)
        assert await ids(client.jobs(batch=batch.id)) == list(batch.ids)
        assert await ids(client.jobs(chain=batch.id)) == await ids(client.jobs(queue="nobody's")) == []


async def test_more_than_a_page(boot: Boot) -> None:
    """Pages follow one another unseen; a limit ends the listing, and its cursor goes on from there."""
    async with boot(Ping) as kernel:
        client = kernel.get(Client)
        handles = await client.dispatch_many(Ping(number=n) for n in range(450))
        wanted = [handle.id for handle in handles]
        assert await ids(client.jobs(queue="pings")) == wanted
        first = client.jobs(queue="pings", limit=230)
        assert await ids(first) == wanted[:230]
        assert first.cursor is not None
        rest = client.jobs(queue="pings", cursor=first.cursor)
        assert await ids(rest) == wanted[230:]
        assert rest.cursor is None
        exactly = client.jobs(queue="pings", status="pending", limit=450)
        assert await ids(exactly) == wanted
        assert await ids(exactly) == [], "a listing is walked once"


async def test_while_jobs_come_and_go(boot: Boot) -> None:
    """What is cancelled or dispatched during the walk moves nothing else."""
    async with boot(Ping) as kernel:
        client = kernel.get(Client)
        handles = await client.dispatch_many(Ping() for _ in range(300))
        seen: list[str] = []
        async for job in client.jobs(status="pending"):
            seen.append(job.id)
            if len(seen) == 100:
                await client.cancel(handles[250].id)
                await client.cancel(handles[10].id)
                await client.dispatch(Ping()).priority(9)
        assert seen == [handle.id for handle in handles if handle.id != handles[250].id]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"status": "done"},
            "status='done': use one of pending, processing, completed, failed, cancelled, or None for all",
        ),
        (
            {"status": "PENDING"},
            "status='PENDING': use one of pending, processing, completed, failed, cancelled, or None",
        ),
        ({"limit": -1}, "limit='-1': use a whole number above 0, or None for all"),
        ({"limit": 0}, "limit='0': use a whole number above 0, or None for all"),
        ({"limit": True}, "limit='True': use a whole number above 0, or None for all"),
        ({"limit": 1.5}, "limit='1.5': use a whole number above 0, or None for all"),
        ({"limit": "10"}, "limit='10': use a whole number above 0, or None for all"),
        ({"queue": 3}, "queue='int': use text, or None for all"),
        ({"name": b"Ping"}, "name='bytes': use text, or None for all"),
        ({"chain": Ping()}, "chain='Ping': use text, or None for all"),
        ({"batch": ["id"]}, "batch='list': use text, or None for all"),
        ({"cursor": 7}, "cursor='int': use the cursor of an earlier listing with the same filter"),
    ],
)
async def test_refused(boot: Boot, asked: dict[str, Any], said: str) -> None:
    """What cannot be asked for is refused where it is asked, with what can be."""
    async with boot(Ping) as kernel:
        with pytest.raises(InvalidFilter) as error:
            kernel.get(Client).jobs(**asked)
    assert str(error.value).startswith(said)
    assert (error.value.status_code, error.value.option) == (400, next(iter(asked)))


@pytest.mark.parametrize("cursor", ["garbage", "", "W10", "x" * 1000, "\ud800", "' OR 1=1 --"])
async def test_no_cursor(boot: Boot, cursor: str) -> None:
    """What is no cursor is refused when the listing begins."""
    async with boot(Ping) as kernel:
        client = kernel.get(Client)
        await client.dispatch(Ping())
        with pytest.raises(InvalidFilter, match="^cursor=") as error:
            await ids(client.jobs(cursor=cursor))
    assert error.value.status_code == 400
