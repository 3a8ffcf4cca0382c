"""What the client says of jobs and queues."""

from __future__ import annotations

from typing import Any

import pytest

from goose_queues import Client, Job, JobContext, JobNotFound, QueueStats, StoreUnavailable
from goose_queues.testing import drain
from queue_apps import Boot


class Square(Job, queue="sums"):
    number: int

    async def handle(self, ctx: JobContext) -> dict[str, int]:
        if self.number < 0:
            raise ValueError("negative")
        return {"square": self.number**2}


class TestStatus:
    async def test_before_and_after(self, boot: Boot) -> None:
        """A job's status tells its story, and never its payload."""
        async with boot(Square) as kernel:
            client = kernel.get(Client)
            handle = await client.dispatch(Square(number=4))
            before = await client.get_status(handle.id)
            await drain(kernel)
            after = await client.get_status(handle.id)
        assert (before.name, before.queue, before.status, before.attempts) == ("Square", "sums", "pending", 0)
        assert (before.started_at, before.finished_at, before.result, before.error) == (None, None, None, None)
        assert (after.status, after.attempts, after.result) == ("completed", 1, {"square": 16})
        assert after.started_at is not None
        assert after.finished_at is not None
        assert before.created_at <= after.started_at <= after.finished_at
        assert not hasattr(after, "payload")

    async def test_failed(self, boot: Boot) -> None:
        """A failed job says with what."""
        async with boot(Square, default_retry_limit=0) as kernel:
            client = kernel.get(Client)
            handle = await client.dispatch(Square(number=-1))
            await drain(kernel)
            status = await client.get_status(handle.id)
        assert (status.status, status.error) == ("failed", "ValueError: negative")

    @pytest.mark.parametrize("job_id", ["abc", "", 10**30, "' OR 1=1 --", "\x00", "\ud800", "%", None])
    async def test_unknown(self, boot: Boot, job_id: Any) -> None:
        """Whatever is asked for and is not there: the same error, without the text that was asked for."""
        async with boot(Square) as kernel:
            await kernel.get(Client).dispatch(Square(number=1))
            with pytest.raises(JobNotFound) as error:
                await kernel.get(Client).get_status(job_id)
        assert (str(error.value), error.value.status_code) == ("no such job", 404)

    async def test_store_is_closed(self, boot: Boot) -> None:
        """A store that does not answer is something else than a job that is not there."""
        async with boot(Square) as kernel:
            client = kernel.get(Client)
        with pytest.raises(StoreUnavailable):
            await client.get_status("abc")


class TestStats:
    async def test_counts(self, boot: Boot) -> None:
        """Each queue is counted by itself, and what is due later apart from what is due."""
        async with boot(Square) as kernel:
            client = kernel.get(Client)
            await client.dispatch_many(Square(number=n) for n in (1, 2, -1))
            await client.dispatch(Square(number=3)).delay(60)
            before = await client.stats()
            await drain(kernel)
            after = await client.stats()
        assert (before["sums"].pending, before["sums"].scheduled) == (3, 1)
        assert before["sums"].oldest_pending_at is not None
        assert (after["sums"].pending, after["sums"].scheduled, after["sums"].completed) == (0, 2, 2)

    async def test_no_rows(self, boot: Boot) -> None:
        """A queue without jobs reads as zeros; known ones are listed, others answer all the same."""
        async with boot(Square, workers={"exports": 1}) as kernel:
            stats = await kernel.get(Client).stats()
        assert dict(stats) == {"default": QueueStats(), "exports": QueueStats(), "sums": QueueStats()}
        assert stats["anything"] == QueueStats()
        assert "anything" not in stats
