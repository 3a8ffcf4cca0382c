"""``goose queue work`` and ``goose run`` with several processes, as a user has them, on SQLite."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from end_to_end.installed import Goose, ask
from waiting import wait_until

APP = """
import asyncio, os
import goose
from goose import ApiPlatform, Context, Controller, Module, get
from goose_queues import Client, Job, JobContext, QueuesModule

kept = []

def note(text):
    with open("notes.txt", "a") as notes:
        notes.write(f"{text} {os.getpid()}\\n")

class Note(Job):
    async def handle(self, ctx: JobContext) -> None:
        note(f"note-{ctx.attempt}")

class Grow(Job, queue="large"):
    async def handle(self, ctx: JobContext) -> None:
        kept.append(b"x" * (300 << 20))
        note("grow")

class Slow(Job, queue="slow"):
    async def handle(self, ctx: JobContext) -> None:
        note(f"slow-{ctx.attempt}")
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
        note("slow-ends")

class Pids(Controller):
    @get("/pid")
    async def pid(self, ctx: Context) -> dict[str, int]:
        return {"pid": os.getpid()}

class AppModule(Module):
    declarations = (Note, Grow, Slow, Pids)

queues = QueuesModule(url="sqlite:///queue.db", stale_job_timeout=5)
app = goose.api(ApiPlatform(), AppModule, [queues])

async def fill(*jobs):
    async with goose.running(app) as kernel:
        await kernel.get(Client).dispatch_many(jobs)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def fill(goose: Goose, project: Path, jobs: str) -> None:
    goose.module(project, "-c", f"import asyncio, main; from main import *; asyncio.run(main.fill({jobs}))")


def notes(project: Path) -> list[tuple[str, int]]:
    """What handlers have noted, and the process that it was in."""
    file = project / "notes.txt"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [(word, int(pid)) for word, pid in lines]


def objects(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


def test_several_processes_in_a_burst(goose: Goose, project: Path) -> None:
    """They end when nothing is due and nothing runs; each job has run once."""
    fill(goose, project, "*[Note() for _ in range(50)]")
    done = goose(project, "queue", "work", "--processes", "2", "--burst", "--queues", "default,slow")
    assert [word for word, _ in notes(project)] == ["note-1"] * 50
    for number in (1, 2):
        assert re.search(rf"process {number} \(pid \d+\) ready: working on default \(4\), slow \(4\)\n", done.stderr)


def test_a_process_is_recycled_after_so_many_jobs(goose: Goose, project: Path) -> None:
    """It has had no more than those and as many as it has slots; every line of the log is JSON."""
    fill(goose, project, "*[Note() for _ in range(40)]")
    done = goose(project, "queue", "work", "--max-jobs", "15", "--concurrency", "2", "--burst", "--json-logs")
    had = Counter(pid for _, pid in notes(project))
    assert sum(had.values()) == 40
    assert max(had.values()) <= 15 + 2
    log = objects(done.stderr)
    recycled = [line for line in log if line.get("event") == "recycled"]
    assert [line["process_pid"] for line in recycled] == list(had)[:2]
    assert {line["reason"] for line in recycled} == {"it has had as many jobs as --max-jobs lets it"}


async def test_what_runs_is_finished_before_a_process_is_recycled(goose: Goose, project: Path) -> None:
    """Meanwhile its successor works; nothing runs twice."""
    fill(goose, project, "Slow()")
    with goose.running(project, "queue", "work", "--max-jobs", "1") as server:
        await wait_until(lambda: [word for word, _ in notes(project)] == ["slow-1"])
        server.says(r"recycled")
        fill(goose, project, "Note()")
        await wait_until(lambda: len(notes(project)) == 2)
        (project / "go").touch()
        await wait_until(lambda: len(notes(project)) == 3)
        assert server.stop() == 0
    (_, first), (second, other), (third, last) = notes(project)
    assert (second, third, last) == ("note-1", "slow-ends", first)
    assert other != first


def test_a_process_is_recycled_when_it_has_grown(goose: Goose, project: Path) -> None:
    """It says how large it may be, and after a while another is there."""
    fill(goose, project, "Grow()")
    with goose.running(project, "queue", "work", "--max-memory", "300M") as server:
        server.says(r"process 1 was recycled after [0-9.]+ s at work: it takes more memory than --max-memory lets it")
        server.says(r"ready(?s:.*)ready")
        assert server.stop() == 0
    assert len(notes(project)) == 1


def test_too_little_memory_is_refused_at_once(goose: Goose, project: Path) -> None:
    """What a process needs before its first job is no reason for a loop of restarts."""
    done = goose(project, "queue", "work", "--max-memory", "10M", "--processes", "4", code=1)
    assert done.stderr.splitlines()[-1].startswith("goose: --max-memory 10M is less than the ")
    assert done.stderr.count("--max-memory") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--max-memory", "lots"), "Invalid value for --max-memory: 'lots' is no size"),
        (("--max-jobs", "0"), "Invalid value for '--max-jobs'"),
        (("--processes", "0"), "Invalid value for '--processes'"),
    ],
)
def test_wrong_usage(goose: Goose, project: Path, words: tuple[str, ...], sentence: str) -> None:
    wrong = goose(project, "queue", "work", *words, code=2)
    assert sentence in wrong.stderr
    assert wrong.stderr.count("\n") == 1


def test_a_misspelt_queue_is_refused(goose: Goose, project: Path) -> None:
    """With the near one; by several processes once. One that is like no other may be meant for later."""
    refused = goose(project, "queue", "work", "--queues", "slo,default", "--processes", "3", code=1)
    assert refused.stderr.endswith("\ngoose: no queue 'slo' (did you mean 'slow'?)\n")
    assert refused.stderr.count("'slo'") == 1
    warned = goose(project, "queue", "work", "--queues", "bulk", "--burst")
    assert "WARNING:     no job and no setting names the queue 'bulk', and nothing is in it yet\n" in warned.stderr


def answering(base: str) -> int:
    """The process that answers a request."""
    status, answer = ask(f"{base}/pid")
    assert status == 200
    assert isinstance(answer, dict)
    return int(answer["pid"])


async def test_workers_share_a_port(goose: Goose, project: Path) -> None:
    """The address is said once; a request is answered also after one of them was killed; SIGTERM ends all."""
    with goose.running(project, "run", "--workers", "2", "--port", "0") as server:
        base = server.says(r"serving on (http://127\.0\.0\.1:\d+) with 2 processes")[1]
        pids = {int(server.says(rf"process {number} \(pid (\d+)\) ready")[1]) for number in (1, 2)}
        pid = answering(base)
        assert pid in pids
        os.kill(pid, signal.SIGKILL)
        server.says("has ended: killed by SIGKILL; another is started in 0.5 s")
        assert answering(base) != pid
        assert server.stop() == 0
    assert server.log.count("http://") == 1
    assert "Traceback" not in server.log


def test_one_process_logs_json(goose: Goose, project: Path) -> None:
    """What the HTTP server says too."""
    with goose.running(project, "run", "--port", "0", "--json-logs") as server:
        base = server.says(r"http://127\.0\.0\.1:\d+")[0]
        answering(base)
        assert server.stop() == 0
    assert {"uvicorn.error", "uvicorn.access"} <= {line["logger"] for line in objects(server.log)}
