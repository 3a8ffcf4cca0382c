"""``goose queue``: the group of commands, in this process and as a real one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.private import free_port
from servers.shared import room
from waiting import wait_until

GOOSE = (sys.executable, "-c", "from goose.commands import main; main()")
APP = """
import asyncio
import goose
from goose import Module
from goose_queues import Client, Job, JobContext, QueuesModule

class Note(Job):
    text: str
    async def handle(self, ctx: JobContext) -> None:
        with open("notes.txt", "a") as notes:
            notes.write(self.text + "\\n")

class Slow(Job, queue="slow"):
    async def handle(self, ctx: JobContext) -> None:
        open("started.txt", "w").close()
        for _ in range(1000):
            if os.path.exists("go.txt"):
                break
            await asyncio.sleep(0.01)
        open("ended.txt", "w").close()

class Stuck(Job, queue="slow", timeout=0.1):
    def handle(self, ctx: JobContext) -> None:
        while True:
            try:
                time.sleep(60)
            except BaseException:
                continue

class AppModule(Module):
    declarations = (Note, Slow, Stuck)

app = goose.worker(AppModule, [QueuesModule(url="sqlite:///queue.db", stale_job_timeout=5)])

async def fill(*jobs):
    async with goose.running(app) as kernel:
        for job in jobs:
            await kernel.get(Client).dispatch(job)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An application's folder."""
    (tmp_path / "main.py").write_text(f"import os, time\n{APP}")
    return tmp_path


def goose_command(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*GOOSE, *words]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)


def edit(project: Path, old: str, new: str) -> None:
    main = project / "main.py"
    main.write_text(main.read_text().replace(old, new))


def fill(project: Path, jobs: str) -> None:
    code = f"import asyncio, main; from main import *; asyncio.run(main.fill({jobs}))"
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True, timeout=60)


@pytest.fixture
def working(project: Path) -> Iterator[subprocess.Popen[str]]:
    """A ``goose queue work`` that runs."""
    command = [*GOOSE, "queue", "work"]
    process = subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=60)


class TestWork:
    def test_burst(self, project: Path) -> None:
        """--burst runs what is due and ends."""
        fill(project, "Note(text='a'), Note(text='b')")
        done = goose_command(project, "queue", "work", "--burst")
        assert (done.returncode, done.stdout) == (0, "")
        assert sorted((project / "notes.txt").read_text().split()) == ["a", "b"]

    def test_burst_of_nothing(self, project: Path) -> None:
        """--burst ends at once where nothing is due."""
        assert goose_command(project, "queue", "work", "--burst").returncode == 0

    def test_queues(self, project: Path) -> None:
        """--queues narrows what is worked."""
        fill(project, "Note(text='a'), Slow()")
        done = goose_command(project, "queue", "work", "--burst", "--queues", "default,other", "--concurrency", "3")
        assert done.returncode == 0
        assert "working on default (3), other (3)" in done.stderr
        assert not (project / "started.txt").exists()

    async def test_sigterm(self, project: Path, working: subprocess.Popen[str]) -> None:
        """SIGTERM finishes what runs and exits with 0."""
        fill(project, "Slow()")
        await wait_until((project / "started.txt").exists)
        working.send_signal(signal.SIGTERM)
        (project / "go.txt").touch()
        await wait_until(lambda: working.poll() is not None)
        assert working.returncode == 0
        assert (project / "ended.txt").exists()

    async def test_a_second_sigterm(self, project: Path, working: subprocess.Popen[str]) -> None:
        """A second SIGTERM ends at once."""
        fill(project, "Slow()")
        await wait_until((project / "started.txt").exists)
        errors = working.stderr
        if errors is None:
            raise RuntimeError("no pipe")
        working.send_signal(signal.SIGTERM)
        while "stopping: running jobs are finished first" not in errors.readline():
            continue
        working.send_signal(signal.SIGTERM)
        await wait_until(lambda: working.poll() is not None)
        assert working.returncode == 128 + signal.SIGTERM
        assert not (project / "ended.txt").exists()

    def test_stuck_threads(self, project: Path) -> None:
        """Where threads do not end, it finishes the others and exits with 1, so that another process takes its place."""
        fill(project, "*[Stuck(), Stuck(), Note(text='done')]")
        done = goose_command(project, "queue", "work")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(
            "goose: handlers do not end although they ran out of time (2 of slow)"
        )
        assert (project / "notes.txt").read_text() == "done\n"

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--queues", "a/b"], "'a/b' is no name for a queue"),
            (["--concurrency", "0"], "Invalid value for '--concurrency': Input should be greater than or equal to 1"),
            (["--proceses", "2"], "No such option: --proceses"),
        ],
    )
    def test_wrong_usage(self, project: Path, words: list[str], said: str) -> None:
        """A wrong option is one line and exit code 2."""
        wrong = goose_command(project, "queue", "work", *words)
        assert wrong.returncode == 2
        assert said in wrong.stderr
        assert wrong.stderr.count("\n") == 1

    def test_a_broken_application(self, project: Path) -> None:
        """What boot refuses is one line and exit code 1."""
        edit(project, "sqlite:///queue.db", "sqlite:////nowhere/at/all/queue.db")
        broken = goose_command(project, "queue", "work")
        assert broken.returncode == 1
        assert "Traceback" not in broken.stderr
        assert broken.stderr.strip().splitlines()[-1].startswith("goose: ")


class TestOnRedis:
    @pytest.fixture
    def project(self, project: Path) -> Path:
        """The same application with its queue on Redis."""
        there = room("redis")
        there.empty()
        edit(project, "sqlite:///queue.db", str(there.url))
        return project

    def test_stats_and_work(self, project: Path) -> None:
        """The same commands do the same."""
        fill(project, "Note(text='a'), Slow()")
        shown = goose_command(project, "queue", "stats")
        assert [line.split()[:2] for line in shown.stdout.splitlines()[1:]] == [
            ["default", "1"],
            ["slow", "1"],
            ["(all)", "2"],
        ]
        done = goose_command(project, "queue", "work", "--burst", "--queues", "default")
        assert (done.returncode, done.stdout) == (0, "")
        assert (project / "notes.txt").read_text() == "a\n"

    @pytest.mark.parametrize("word", ["migrate", "check"])
    def test_nothing_to_migrate(self, project: Path, word: str) -> None:
        """There are no tables: one line, exit code 0."""
        done = goose_command(project, "db", word)
        assert (done.returncode, done.stdout, done.stderr) == (0, "nothing to migrate\n", "")

    @pytest.mark.parametrize("word", ["stats", "work"])
    def test_a_server_that_is_not_there(self, project: Path, word: str) -> None:
        """It is named in one line, exit code 1."""
        nowhere = f"redis://:secret@127.0.0.1:{free_port()}/0"
        edit(project, str(room("redis").url), nowhere)
        broken = goose_command(project, "queue", word)
        assert broken.returncode == 1
        assert broken.stderr.count("\n") == 1
        shown = nowhere.replace("secret", "***")
        assert broken.stderr.startswith(f"goose: the queue's store {shown} is not available: ")
