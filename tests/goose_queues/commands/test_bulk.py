"""``goose queue retry`` and ``cancel`` by a filter: counted, asked for, done to what was counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pexpect
import pytest

from called import Said
from goose import Kernel
from goose.commands import CommandError
from goose_queues import Client, JobConflict, JobNotFound, JobStatus, StoreUnavailable
from goose_queues.commands import bulk
from goose_queues.commands.bulk import AT_ONCE, Tally
from goose_queues.commands.deeds import CANCEL, RETRY
from goose_queues.commands.filters import Filter
from goose_queues.record import Claim
from goose_queues.testing import drain
from waiting import wait_until_asleep


def counts(on_queue: Any, queue: str = "emails") -> tuple[int, int, int]:
    stats = on_queue(lambda kernel: kernel.get(Client).stats())[queue]
    return stats.pending, stats.failed, stats.cancelled


@pytest.fixture
def failed(on_queue: Any, main: Any) -> list[str]:
    """Twelve jobs of ``emails`` that have failed."""

    async def fill(kernel: Kernel) -> list[str]:
        handles = await kernel.get(Client).dispatch_many([main.Send()] * 12)
        await drain(kernel)
        return [handle.id for handle in handles]

    ids: list[str] = on_queue(fill)
    return ids


class TestCommands:
    def test_a_count_alone(self, goose: Callable[..., Said], on_queue: Any, failed: list[str]) -> None:
        said = goose("queue", "retry", "--queue", "emails", "--status", "failed", "--dry-run")
        assert said == Said(0, "12 failed jobs in emails\n", "")
        assert counts(on_queue) == (0, 12, 0)

    def test_retry(self, goose: Callable[..., Said], on_queue: Any, failed: list[str]) -> None:
        assert goose("queue", "retry", "--queue", "emails", "--yes") == Said(0, "12 retried\n", "")
        assert counts(on_queue) == (12, 0, 0)

    def test_cancel(self, goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
        """What is pending and what runs, unless one of the two was named."""

        async def start_one(kernel: Kernel) -> None:
            await kernel.get(Client).dispatch(main.Send())
            await kernel.get(Client)._store.claim(Claim("emails", frozenset(["Send"]), 10, 600, "somebody"))
            await kernel.get(Client).dispatch_many([main.Send()] * 3)

        on_queue(start_one)
        said = goose("queue", "cancel", "--queue", "emails", "--dry-run")
        assert said.out == "3 pending and 1 processing job in emails\n"
        assert goose("queue", "cancel", "--queue", "emails", "--status", "pending", "--dry-run").out == (
            "3 pending jobs in emails\n"
        )
        said = goose("queue", "cancel", "--queue", "emails", "--reason", "enough", "--yes")
        assert said == Said(0, "3 cancelled, 1 told to end\n", "")

        async def notes(kernel: Kernel) -> set[str | None]:
            return {job.note async for job in kernel.get(Client).jobs(status="cancelled")}

        assert on_queue(notes) == {"enough"}

    def test_only_what_the_filter_names(
        self, goose: Callable[..., Said], on_queue: Any, main: Any, failed: list[str]
    ) -> None:
        batch = on_queue(lambda kernel: kernel.get(Client).batch([main.Send(), main.Note()]).dispatch())
        on_queue(drain)
        words = ["retry", "--batch", batch.id, "--name", "Send"]
        assert goose("queue", *words, "--dry-run").out == f"1 failed job named Send of batch {batch.id}\n"
        assert goose("queue", *words, "--yes").out == "1 retried\n"
        assert counts(on_queue) == (1, 12, 0)

    def test_nothing(self, goose: Callable[..., Said]) -> None:
        """Where there is nothing, nobody is asked."""
        assert goose("queue", "retry", "--queue", "emails") == Said(0, "no failed jobs in emails\n", "")
        assert goose("queue", "cancel", "--queue", "emails").out == "no pending or processing jobs in emails\n"

    def test_a_misspelt_queue(self, goose: Callable[..., Said]) -> None:
        said = goose("queue", "retry", "--queue", "emials", "--yes")
        assert said == Said(1, "", "goose: no queue 'emials' (did you mean 'emails'?)\n")

    def test_without_a_terminal(self, goose: Callable[..., Said], on_queue: Any, failed: list[str]) -> None:
        said = goose("queue", "retry", "--queue", "emails")
        question = "12 failed jobs in emails. Retry them? Nobody can be asked here: say --yes"
        assert said == Said(1, "", f"goose: {question}\n")
        assert counts(on_queue) == (0, 12, 0)

    @pytest.mark.parametrize(
        ("answer", "end"), [("y", "12 retried"), ("n", "goose: stopped"), ("\x03", "goose: stopped")]
    )
    def test_the_question(
        self, terminal: Callable[..., pexpect.spawn[str]], on_queue: Any, failed: list[str], answer: str, end: str
    ) -> None:
        """It takes a yes, a no, and Ctrl-C at once."""
        asked = terminal("queue", "retry", "--queue", "emails")
        asked.expect_exact("12 failed jobs in emails. Retry them? [y/N]: ")
        wait_until_asleep(asked.pid)
        asked.send(answer if answer == "\x03" else f"{answer}\r")
        asked.expect_exact(end)
        asked.expect(pexpect.EOF)
        asked.close()
        assert asked.exitstatus == (0 if answer == "y" else 1)
        assert counts(on_queue) == ((12, 0, 0) if answer == "y" else (0, 12, 0))

    def test_ctrl_c_in_the_middle(self, terminal: Callable[..., pexpect.spawn[str]], on_queue: Any, main: Any) -> None:
        """A bar shows how far it is; Ctrl-C says how many were done, and those stay done."""
        on_queue(lambda kernel: kernel.get(Client).dispatch_many([main.Send()] * 12_000))
        working = terminal("queue", "cancel", "--queue", "emails", "--yes")
        working.expect(r"cancelling .* [1-9]\d*/12000")
        working.sendintr()
        working.expect(r"goose: stopped: (\d+) cancelled, of 12000")
        done = int(cast("Any", working.match)[1])
        working.expect(pexpect.EOF)
        working.close()
        assert working.exitstatus == 1
        pending, _, cancelled = counts(on_queue)
        assert pending + cancelled == 12_000
        # Those that were on their way when it was stopped may have been done as well.
        assert done <= cancelled <= done + AT_ONCE

    def test_a_cancelled_chain(self, goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
        """Links are retried behind the one that has to be first, in whatever order they are found."""

        async def fill(kernel: Kernel) -> Any:
            client = kernel.get(Client)
            chain = await client.chain(*[main.Note()] * 20).dispatch()
            await client.cancel(chain.ids[0])
            return chain

        chain = on_queue(fill)
        said = goose("queue", "retry", "--chain", chain.id, "--status", "cancelled", "--yes")
        assert said == Said(0, "1 retried, 19 had changed meanwhile\n", "")
        on_queue(drain)
        assert on_queue(lambda kernel: kernel.get(Client).get_status(chain.ids[-1])).status == "completed"

    def test_what_cannot_be(self, goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
        """Links behind one that stays failed are left, and that is an error."""

        async def fill(kernel: Kernel) -> Any:
            chain = await kernel.get(Client).chain(main.Send(), main.Note(), main.Note()).dispatch()
            await drain(kernel)
            return chain

        chain = on_queue(fill)
        said = goose("queue", "retry", "--chain", chain.id, "--status", "cancelled", "--yes")
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith("goose: 2 could not be: job ")
        assert f"{chain.ids[0]}, before it in its chain, is failed: retry that one" in said.err

    def test_more_than_a_page(self, goose: Callable[..., Said], on_queue: Any, main: Any) -> None:
        """The set shrinks while it is worked off, and nothing of it is left out."""
        on_queue(lambda kernel: kernel.get(Client).dispatch_many([main.Send()] * 950))
        assert goose("queue", "cancel", "--queue", "emails", "--yes").out == "950 cancelled\n"
        assert counts(on_queue) == (0, 0, 950)


class Queue:
    """Stands where the client would: lists ``number`` jobs, and does to them what the test says."""

    def __init__(self, number: int, do: Callable[[int], Any]) -> None:
        self.number = number
        self.do = do
        self.running = 0
        self.most = 0

    def jobs(self, **_: Any) -> Any:
        async def listing() -> Any:
            for number in range(self.number):
                yield cast("JobStatus", type("Job", (), {"id": str(number)}))

        return listing()

    async def retry(self, job_id: str) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            result = self.do(int(job_id))
            if result is not None:
                await result
        finally:
            self.running -= 1


async def retry_all(queue: Queue) -> None:
    deed = bulk.Deed(lambda _, job_id: queue.retry(job_id), "retrying", "retried", ("failed",), "?")
    wanted = Filter(None, "Send", None, None)
    await bulk.of_all(cast("Client", queue), deed, wanted, ("failed",), yes=True, dry_run=False)


class TestMeanwhile:
    async def test_jobs_that_changed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """They are skipped and counted: gone, or retried by somebody else."""

        def do(number: int) -> None:
            if number == 3:
                raise JobNotFound("3")
            if number == 4:
                raise JobConflict("4", "pending", "only a failed or cancelled job can be retried")

        await retry_all(Queue(13, do))
        assert capsys.readouterr().out == "11 retried, 2 had changed meanwhile\n"

    async def test_jobs_that_wait_for_one_another(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What is refused is tried again as long as that brings anything, in whatever order they were found."""
        retried: set[int] = set()

        def do(number: int) -> None:
            if number < 99 and number + 1 not in retried:
                raise JobConflict(str(number), "failed", "another one has to be retried first")
            retried.add(number)

        await retry_all(Queue(100, do))
        assert capsys.readouterr().out == "100 retried\n"

    async def test_so_many_at_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        queue = Queue(100, lambda _: None)
        await retry_all(queue)
        assert queue.most == AT_ONCE

    async def test_a_store_that_goes_away(self) -> None:
        """What was done is said with the reason."""

        def do(number: int) -> None:
            if number == 40:
                raise StoreUnavailable("redis://there", "gone")

        with pytest.raises(CommandError) as error:
            await retry_all(Queue(100, do))
        assert str(error.value).startswith("the queue's store redis://there is not available: gone; before that: ")
        assert str(error.value).endswith(" retried, of 100")

    async def test_ctrl_c(self) -> None:
        """It says how many were done."""
        reached = asyncio.Event()

        def do(number: int) -> Any:
            if number < 10:
                return None
            reached.set()
            return asyncio.sleep(3600)

        work = asyncio.create_task(retry_all(Queue(100, do)))
        await reached.wait()
        await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(CommandError) as error:
            await work
        assert str(error.value) == "stopped: 10 retried, of 100"

    def test_what_is_told(self) -> None:
        assert str(Tally()) == "nothing done"
        assert (RETRY.outcome("processing"), CANCEL.outcome("processing")) == ("retried", "told to end")
