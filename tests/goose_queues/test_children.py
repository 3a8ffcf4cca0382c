"""Jobs with isolation="process": their attempts run in child processes, whose end harms nobody."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import goose
import goose_queues
import isolated_app
from goose import Kernel, Module
from goose_queues import Client, Job, JobFailed, JobHandle, JobStatus
from goose_queues import children as pool
from goose_queues import errand as errands
from goose_queues import spawned as processes
from goose_queues.children import Children
from goose_queues.control import RunControl
from goose_queues.errors import ConfigError
from goose_queues.isolation import hello
from goose_queues.record import Cancelled, Claim, ClaimedJob, Completed, Doomed
from goose_queues.spawned import CannotBoot, spawn
from goose_queues.supervisor import Supervisor, Workload
from goose_queues.testing import drain
from goose_queues.wire import Run
from isolated_app import (
    BROKEN,
    FOLDER,
    WITHOUT,
    Blocks,
    Chatty,
    Dies,
    Dispatches,
    InThread,
    Notes,
    Outside,
    Report,
    Waits,
)
from waiting import wait_until

BootIsolated: TypeAlias = Callable[..., AbstractAsyncContextManager[Kernel]]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    """What the processes of this test leave behind."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return Notes()


@pytest.fixture
def boot(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> BootIsolated:
    """Boot the application that children find as isolated_app:app."""

    @asynccontextmanager
    async def run(*, background: bool = True, **options: Any) -> AsyncIterator[Kernel]:
        app = isolated_app.application(**options)
        monkeypatch.setattr(isolated_app, "app", app, raising=False)
        async with goose.running(app, background=background) as kernel:
            yield kernel

    return run


async def result(kernel: Kernel, job: Job, **meta: Any) -> Any:
    """What comes of a job that completes."""
    return await (await kernel.get(Client).dispatch(job).meta(**meta)).result(timeout=60)


async def failure(handle: JobHandle) -> JobStatus:
    """The end of a job that fails."""
    with pytest.raises(JobFailed):
        await handle.result(timeout=60)
    return await handle.status()


async def said(notes: Notes, topic: str, count: int = 1) -> list[str]:
    """The lines of a topic, as soon as there are so many."""
    await wait_until(lambda: len(notes.read(topic)) >= count)
    return notes.read(topic)


def control(kernel: Kernel, handle: JobHandle) -> RunControl:
    """The hold that the worker has on a job that runs."""
    running = [item for worker in kernel.get(Supervisor).workers for item in worker._running.items()]
    return next(control for (job_id, _), control in running if job_id == handle.id)


def worker_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, isolated_app.__file__])


def lives(pid: int | str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


async def status_is(handle: JobHandle, status: str) -> bool:
    return (await handle.status()).status == status


def children(kernel: Kernel) -> set[int]:
    """The pids of the children that the application has."""
    found: Any = kernel.get(Supervisor).runner._elsewhere
    return {child.pid for child in (*found._idle, *found._busy)}


async def claim(kernel: Kernel) -> ClaimedJob:
    """The only job that is due, as a worker gets it."""
    supervisor = kernel.get(Supervisor)
    (job,) = (await supervisor.store.claim(Claim("default", supervisor.registry.names, 2, 60, "test"))).jobs
    return job


class TestRunning:
    async def test_in_a_child(self, boot: BootIsolated, notes: Notes) -> None:
        """Handler, middleware and unit of work run in a child, with injection; payload and result travel as JSON."""
        async with boot() as kernel:
            report = await result(kernel, Report(title="täglich"), tenant="acme")
            child = report["pid"]
            assert report == {"title": "täglich", "pid": child, "attempt": 1, "meta": {"tenant": "acme"}}
            assert child != os.getpid()
            assert notes.read("middleware") == [str(child)]
            assert notes.read("unit") == ["commit"]
            assert await result(kernel, InThread()) == child
            assert await result(kernel, Outside()) == os.getpid()
        assert not lives(child)

    async def test_dispatching(self, boot: BootIsolated) -> None:
        """The client works in a child as it does elsewhere."""
        async with boot() as kernel:
            job_id = await result(kernel, Dispatches())

            async def completed() -> bool:
                return (await kernel.get(Client).get_status(job_id)).status == "completed"

            await wait_until(completed)
            assert (await kernel.get(Client).get_status(job_id)).result["title"] == "dispatched"

    async def test_prints(
        self, boot: BootIsolated, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """What a handler prints and logs goes where the parent's goes, and disturbs nothing; there is nothing to read."""
        caplog.set_level(logging.INFO)
        async with boot() as kernel:
            assert await result(kernel, Chatty()) == "x" * 200_000
        written = capfd.readouterr()
        assert "{}\n" in written.out
        assert "INFO:     so much to say\n" in written.err

    async def test_as_many_as_run_at_once(self, boot: BootIsolated, notes: Notes) -> None:
        """One attempt at a time in each child, one more child only when one more attempt runs."""
        async with boot(workers=2) as kernel:
            client = kernel.get(Client)
            assert children(kernel) == set()
            first = await client.dispatch(Waits())
            await said(notes, "running", 1)
            assert len(children(kernel)) == 1
            second = await client.dispatch(Waits())
            one, other = await said(notes, "running", 2)
            assert {int(one), int(other)} == children(kernel)
            assert one != other
            control(kernel, first).cancel()
            control(kernel, second).cancel()
            assert {(await result(kernel, Report()))["pid"] for _ in range(5)} <= {int(one), int(other)}
            assert {int(one), int(other)} == children(kernel)

    async def test_recycled(self, boot: BootIsolated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A child is replaced after a number of attempts."""
        monkeypatch.setattr(pool, "RECYCLE_AFTER", 2)
        async with boot() as kernel:
            pids = [(await result(kernel, Report()))["pid"] for _ in range(3)]
            assert pids[0] == pids[1] != pids[2]
            await wait_until(lambda: not lives(pids[0]))

    async def test_idle(self, boot: BootIsolated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A child with nothing to do ends after a while."""
        monkeypatch.setattr(pool, "IDLE_LIMIT", 0.05)
        async with boot() as kernel:
            pid = (await result(kernel, Report()))["pid"]
            await wait_until(lambda: not lives(pid))
            assert (await result(kernel, Report()))["pid"] != pid


class TestDying:
    async def test_the_attempt_fails(self, boot: BootIsolated, notes: Notes) -> None:
        """A handler that takes its process down has failed, and its on_failure runs in another."""
        text = "ProcessDied: Dies's process was killed by SIGSEGV"
        async with boot() as kernel:
            status = await failure(await kernel.get(Client).dispatch(Dies(by=signal.SIGSEGV)))
            assert (status.attempts, status.error) == (1, text)
            (pid,), (told,) = notes.read("running"), notes.read("on_failure")
            assert told.partition(" ")[2] == text
            assert told.split()[0] not in (pid, str(os.getpid()))
            assert await result(kernel, Outside()) == os.getpid()

    async def test_another_follows(self, boot: BootIsolated, notes: Notes) -> None:
        """It is followed by another attempt if a retry is left and should_retry agrees, which is asked in another too."""
        async with boot() as kernel:
            handle = await kernel.get(Client).dispatch(Dies(attempts=1)).retries(1)
            await handle.result(timeout=60)
            assert (await handle.status()).attempts == 2
        (asked,) = notes.read("should_retry")
        assert asked.partition(" ")[2] == "ProcessDied: Dies's process ended with exit code 3"
        assert asked.split()[0] not in (notes.read("running")[0], str(os.getpid()))

    async def test_what_it_leaves_behind(self, boot: BootIsolated, notes: Notes) -> None:
        """The end of a process is noticed although another that it has forked lives on, with all that it had open."""
        async with boot() as kernel:
            handle = await kernel.get(Client).dispatch(Dies(forks=True))
            (pid,) = await said(notes, "forked")
            try:
                assert (await failure(handle)).error == "ProcessDied: Dies's process ended with exit code 3"
                assert lives(pid)
            finally:
                os.kill(int(pid), signal.SIGKILL)

    async def test_on_failure_dies(self, boot: BootIsolated, notes: Notes) -> None:
        """An on_failure that takes its process down changes nothing about the failure before it."""
        async with boot() as kernel:
            status = await failure(await kernel.get(Client).dispatch(Dies(within="on_failure")))
        assert status.error == "ValueError: first"
        assert status.note == "on_failure() raised ProcessDied: Dies's process ended with exit code 3"
        assert len(notes.read("on_failure")) == 1

    async def test_should_retry_dies(self, boot: BootIsolated, caplog: pytest.LogCaptureFixture) -> None:
        """Where the job's own methods cannot be asked, the number of retries decides."""
        text = "ProcessDied: Dies's process ended with exit code 3"
        note = f"should_retry() was not asked: {text}"
        async with boot(shutdown_timeout=0) as kernel:
            handle = await kernel.get(Client).dispatch(Dies(within="should_retry")).retries(1)
            await wait_until(lambda: caplog.messages)
            assert caplog.messages == [f"Dies {handle.id} failed: {text}; {note}"]

            async def noted() -> bool:
                return (await handle.status()).note == note

            await wait_until(noted)
            assert (await handle.status()).error == text

    async def test_while_it_waited(self, boot: BootIsolated) -> None:
        """A warm child that has died is replaced, and no attempt suffers from that."""
        async with boot() as kernel:
            pid = (await result(kernel, Report()))["pid"]
            os.kill(pid, signal.SIGKILL)
            report = await result(kernel, Report())
            assert (report["attempt"], report["pid"] != pid) == (1, True)


class TestStopping:
    async def test_timeout(self, boot: BootIsolated, notes: Notes) -> None:
        """At the timeout the child is killed, with what it has started; a retry follows, then on_failure elsewhere."""
        async with boot() as kernel:
            handle = await kernel.get(Client).dispatch(Blocks(forks=True)).timeout(0.4).retries(1)
            await said(notes, "forked")
            assert await result(kernel, Outside()) == os.getpid()
            status = await failure(handle)
            error = "JobTimeout: Blocks ran longer than its timeout of 0.4 s"
            assert (status.attempts, status.error) == (2, error)
            running, started = notes.read("running"), [*notes.read("running"), *notes.read("forked")]
            assert len(set(running)) == 2
            await wait_until(lambda: not any(map(lives, started)))
            (told,) = notes.read("on_failure")
            assert told.partition(" ")[2] == error
            assert told.split()[0] not in (*running, str(os.getpid()))

    async def test_timeout_while_it_commits(self, boot: BootIsolated, notes: Notes) -> None:
        """A commit is not torn by the timeout, though something in the parent kept it from hearing that it began."""
        notes.add("commit slowly", "yes")
        async with boot() as kernel:
            handle = await kernel.get(Client).dispatch(Report(after="go"))
            await said(notes, "middleware")
            errand: Any = control(kernel, handle)._elsewhere.__self__  # type: ignore[union-attr]
            await wait_until(lambda: errand.began)
            notes.add("go", "now")
            while not notes.read("unit"):
                pass
            # What a timer does that came due meanwhile.
            asyncio.get_running_loop().call_later(0, errand._time_seems_up, errand._child)
            await asyncio.to_thread(notes.add, "go on", "now")
            assert (await handle.result(timeout=60))["attempt"] == 1

    async def test_cancel(self, boot: BootIsolated, notes: Notes) -> None:
        """A cancelled handler can clean up, and its child goes on."""
        async with boot() as kernel:
            handle = await kernel.get(Client).dispatch(Waits())
            (pid,) = await said(notes, "running")
            control(kernel, handle).cancel("not needed")
            await wait_until(lambda: status_is(handle, "cancelled"))
            assert notes.read("cleaned") == [pid]
            assert (await result(kernel, Report()))["pid"] == int(pid)

    async def test_cancel_of_one_that_does_not_end(
        self, boot: BootIsolated, notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A handler that does not end when it is cancelled is killed after a moment, and still counts as cancelled."""
        monkeypatch.setattr(errands, "GRACE", 0.1)
        async with boot() as kernel:
            handle = await kernel.get(Client).dispatch(Blocks())
            (pid,) = await said(notes, "running")
            control(kernel, handle).cancel()
            await wait_until(lambda: status_is(handle, "cancelled"))
            assert not lives(pid)

    async def test_end_of_its_task(self, boot: BootIsolated, notes: Notes) -> None:
        """Where the task of an attempt is cancelled by others, its child is killed."""
        async with boot() as kernel:
            await kernel.get(Client).dispatch(Waits())
            (pid,) = await said(notes, "running")
            (worker,) = kernel.get(Supervisor).workers
            next(iter(worker._tasks.values())).cancel()
            await wait_until(lambda: not worker.unfinished)
            assert not lives(pid)

    async def test_lease_lost(self, boot: BootIsolated, notes: Notes) -> None:
        """Where another worker may have the job, its child is killed at once."""
        async with boot(shutdown_timeout=0) as kernel:
            handle = await kernel.get(Client).dispatch(Waits())
            (pid,) = await said(notes, "running")
            control(kernel, handle).lease_lost()
            await wait_until(lambda: not lives(pid))
            assert pid not in notes.read("cleaned")

    async def test_shutdown(self, boot: BootIsolated, notes: Notes) -> None:
        """A shutdown has the handler clean up, and gives the job back with its attempt refunded."""
        async with boot(shutdown_timeout=0.05) as kernel:
            handle = await kernel.get(Client).dispatch(Waits())
            (pid,) = await said(notes, "running")
        assert notes.read("cleaned") == [pid]
        assert not lives(pid)
        async with boot(background=False) as kernel:
            status = await kernel.get(Client).get_status(handle.id)
        assert (status.status, status.attempts) == ("pending", 0)

    async def test_shutdown_while_a_child_boots(self, boot: BootIsolated) -> None:
        """A job whose child has not booted yet is given back at once."""
        async with boot(shutdown_timeout=0) as kernel:
            handle = await kernel.get(Client).dispatch(Report())
            await wait_until(lambda: any(task.get_name() == "goose-child-start" for task in asyncio.all_tasks()))
        async with boot(background=False) as kernel:
            status = await kernel.get(Client).get_status(handle.id)
        assert (status.status, status.attempts) == ("pending", 0)
        assert children(kernel) == set()

    async def test_while_a_child_boots(self, boot: BootIsolated, notes: Notes) -> None:
        """An attempt that ends before its child has booted, in whatever way, leaves the child to the next."""
        async with boot(background=False) as kernel:
            own = Children(lambda: hello(kernel), lambda _: 0)
            await kernel.get(Client).dispatch(Report())
            job, hold = await claim(kernel), RunControl()
            runs = [asyncio.create_task(own.run(job, held)) for held in (hold, RunControl())]
            await wait_until(lambda: len(own._starting) == 2)
            hold.cancel("not needed")
            runs[1].cancel()
            assert await runs[0] == Cancelled("not needed")
            await wait_until(lambda: len(own._idle) == 2)
            pids = {child.pid for child in own._idle}
            assert isinstance(await own.run(job, RunControl()), Completed)
            assert {int(pid) for pid in notes.read("middleware")} <= pids
            await own.aclose()
            assert not any(map(lives, pids))
            assert runs[1].cancelled()

    async def test_the_pool_closes(self, boot: BootIsolated, notes: Notes) -> None:
        """A child that still has an attempt when its pool is closed is killed."""
        async with boot(background=False) as kernel:
            own = Children(lambda: hello(kernel), lambda _: 0)
            await kernel.get(Client).dispatch(Waits())
            run = asyncio.create_task(own.run(await claim(kernel), RunControl()))
            (pid,) = await said(notes, "running")
            await own.aclose()
            assert isinstance(await run, Doomed)
            assert not lives(pid)

    async def test_signals(self, boot: BootIsolated, notes: Notes) -> None:
        """A stop signal to every process of a service does not end a child: its parent sees to that."""
        async with boot() as kernel:
            pid = (await result(kernel, Report()))["pid"]
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(pid, number)
            assert (await result(kernel, Report()))["pid"] == pid


class TestParentsDeath:
    async def test_kill(self, boot: BootIsolated, notes: Notes) -> None:
        """After kill -9 of the worker no child is left, even if its handler lets nothing else run."""
        async with boot(background=False) as kernel:
            await kernel.get(Client).dispatch(Blocks(hogs=sys.platform == "linux"))
        with worker_process() as worker:
            (pid,) = await said(notes, "running")
            assert int(pid) != worker.pid
            worker.kill()
        await wait_until(lambda: not lives(pid))

    async def test_the_channel_alone(self, boot: BootIsolated, notes: Notes) -> None:
        """A child ends when the other end of its channel is closed, while its handler blocks the loop."""
        async with boot(background=False) as kernel:
            handle = await kernel.get(Client).dispatch(Blocks(forks=True))
            child = await spawn(hello(kernel))
            claimed = await claim(kernel)
            assert claimed.id == handle.id
            await child.send(Run(claimed))
            started = [*await said(notes, "running"), *await said(notes, "forked")]
            child._channel.close()
            assert await asyncio.wait_for(child.ended(), 30) == -signal.SIGKILL
            await wait_until(lambda: not any(map(lives, started)))


class TestBooting:
    async def test_a_child_that_cannot(
        self,
        boot: BootIsolated,
        notes: Notes,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A job whose child cannot boot waits, with its attempt refunded and a line in the log, until it can."""
        monkeypatch.setattr(pool, "RETRY_FIRST", 0.1)
        async with boot() as kernel:
            monkeypatch.setenv(BROKEN, "1")
            handle = await kernel.get(Client).dispatch(Report())
            await wait_until(lambda: len(caplog.messages) >= 2)
            monkeypatch.delenv(BROKEN)
            assert (await handle.result(timeout=60))["attempt"] == 1
        line = "is put off for 0.1 s: no child process can run it: the import of isolated_app raised OSError: on fire"
        assert caplog.messages[0] == f"Report {handle.id} {line}"

    async def test_on_failure_waits_for_one_that_can(
        self,
        boot: BootIsolated,
        notes: Notes,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A job that has failed for good has its on_failure called, as soon as a child can boot again."""
        monkeypatch.setattr(pool, "RETRY_FIRST", 0.1)
        async with boot() as kernel:
            await result(kernel, Report())
            monkeypatch.setenv(BROKEN, "1")
            handle = await kernel.get(Client).dispatch(Dies())
            await wait_until(lambda: caplog.messages)
            assert (await handle.status()).status in {"pending", "processing"}
            monkeypatch.delenv(BROKEN)
            await failure(handle)
        assert len(notes.read("on_failure")) == 1
        died, why = "Dies's process ended with exit code 3", "the import of isolated_app raised OSError: on fire"
        line = f"failed: ProcessDied: {died}; on_failure() is still to be called: {why}"
        assert caplog.messages[0] == f"Dies {handle.id} {line}"

    def test_a_pause_that_grows(self) -> None:
        """After a child that cannot boot the next is not started at once, and ever later."""
        pause, waits = pool.Pause(), []
        for _ in range(9):
            pause.lengthen()
            pause.lengthen()
            waits.append(round(pause.left))
            pause._until = 0
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        pause.end()
        pause.lengthen()
        assert round(pause.left) == 1

    async def test_a_child_that_hangs(self, boot: BootIsolated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A child that does not boot in its time is killed."""
        monkeypatch.setattr(processes, "BOOT_LIMIT", 0)
        async with boot(background=False) as kernel:
            with pytest.raises(CannotBoot) as error:
                await spawn(hello(kernel))
        assert str(error.value) == "it did not boot within 0 s"

    async def test_code_that_has_changed(
        self, boot: BootIsolated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A job that its child does not know is put off, not lost."""
        async with boot() as kernel:
            monkeypatch.setenv(WITHOUT, "Report")
            handle = await kernel.get(Client).dispatch(Report())
            await wait_until(lambda: caplog.messages)
            await wait_until(lambda: status_is(handle, "pending"))
            assert (await handle.status()).attempts == 0
        line = "is put off for 60.0 s: its child process does not know it: restart this worker"
        assert caplog.messages == [f"Report {handle.id} {line}"]

    async def test_out_of_reach(self, notes: Notes) -> None:
        """An application that no other process could import is refused, where it is to run isolated jobs."""
        app = isolated_app.application()
        sentence = (
            'Report has isolation="process", but a child process could not import this application: assign it at the '
            "top level of a module (app = worker(...) in main.py), or name it with --app main:app"
        )
        with pytest.raises(ConfigError) as error:
            async with goose.running(app, background=True):
                pass
        assert str(error.value) == sentence
        async with goose.running(app):
            pass

    async def test_overrides(self, boot: BootIsolated, monkeypatch: pytest.MonkeyPatch) -> None:
        """Overrides would not be there in a child, so both together are refused; the command's own mean nothing to it."""
        monkeypatch.setattr(isolated_app, "app", isolated_app.application(), raising=False)
        sentence = (
            'Report has isolation="process", but a child process would not see what overrides put in place of Notes: '
            "leave them out, or run jobs with drain(kernel), which does it in this process"
        )
        with pytest.raises(ConfigError) as error:
            async with goose.running(isolated_app.app, background=True, overrides={Notes: Notes()}):
                pass
        assert str(error.value) == sentence
        async with goose.running(
            isolated_app.app, background=True, overrides={Workload: Workload(("default",))}
        ) as kernel:
            assert (await result(kernel, Report()))["pid"] != os.getpid()

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
    async def test_a_private_database(self, boot: BootIsolated, url: str) -> None:
        """A temporary database is one process's own."""
        sentence = (
            'Report has isolation="process", but a child process could not open sqlite://, a private temporary file: '
            "name a file (sqlite:///app.db)"
        )
        with pytest.raises(ConfigError) as error:
            async with boot(url=url):
                pass
        assert str(error.value) == sentence

    async def test_without_isolated_jobs(self) -> None:
        """None of this concerns an application without isolated jobs."""

        class Plain(Module):
            declarations = (Notes, Outside)

        app = goose.worker(Plain, [goose_queues.QueuesModule(url="sqlite://")])
        async with goose.running(app, background=True, overrides={Notes: object()}) as kernel:
            assert await result(kernel, Outside()) == os.getpid()

    async def test_drain(self, notes: Notes, tmp_path: Path) -> None:
        """A drain runs isolated jobs in its own process, where overrides hold."""
        other = Notes()
        other.folder = tmp_path / "other"
        other.folder.mkdir()
        async with goose.running(isolated_app.application(), overrides={Notes: other}) as kernel:
            await kernel.get(Client).dispatch(Report())
            assert (await drain(kernel)).completed == 1
        assert other.read("middleware") == [str(os.getpid())]
