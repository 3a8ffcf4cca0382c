"""``goose queue bench``: every figure on every store, nothing left behind whatever ends it, the application's queue untouched."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest

import goose
from goose import Instance, Module
from goose_queues import Client, Job, JobContext, JobMiddleware, QueuesModule
from goose_queues.bench import measure as rounds
from goose_queues.bench.ground import ground_of, opened, settings_of
from goose_queues.bench.measure import Share, measure
from goose_queues.bench.report import Latency, Plan, Rate, Report, Step
from goose_queues.commands.bench import _say
from goose_queues.config import Settings
from goose_queues.errors import BenchFailed, BenchRefused, StoreUnavailable
from goose_queues.stores.mark import new_mark
from goose_sql import SqlModule
from servers.private import free_port
from servers.shared import DATABASES, connect, room
from waiting import wait_until

GOOSE = (sys.executable, "-c", "from goose.commands import main; main()")
PLAN = Plan(jobs=60, concurrency=5, payload=50)
LONG_GONE = "00000001ab"
"""A mark of 1970."""


class Note(Job):
    async def handle(self, ctx: JobContext) -> None:
        raise AssertionError("the application's own job has run")


class Poison(JobMiddleware):
    async def handle(self, ctx: JobContext, call_next: Any) -> None:
        raise AssertionError("the application's own middleware has run")


class AppModule(Module):
    declarations = (Note,)


@dataclass
class Site:
    """An application's store, and what there is on it."""

    url: str
    things: Callable[[], set[str]]
    """The names of all files, tables or keys."""

    @property
    def app(self) -> Instance:
        # What would spoil the bench, were it kept: middleware, a limit, jobs that go as soon as they have run.
        queues = QueuesModule(
            url=self.url, auto_migrate=True, middleware=(Poison,), limits={"bench": 1}, retention_period=0, workers=0
        )
        return goose.worker(AppModule, [queues])

    @property
    def settings(self) -> Settings:
        return settings_of(self.app.new_kernel().modules)

    async def measure(self, progress: Any = None) -> Report:
        return await measure(self.settings, ground_of(self.settings), PLAN, progress or Bars())

    async def pending(self) -> int:
        async with goose.running(self.app) as kernel:
            return (await kernel.get(Client).stats())["default"].pending


@dataclass
class Bars:
    """Progress that remembers."""

    shown: dict[str, list[int]] = field(default_factory=dict)
    at: Callable[[str], None] = lambda label: None

    @contextmanager
    def __call__(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        left = self.shown[label] = [total]
        self.at(label)

        def advance(more: int) -> None:
            left[0] -= more

        yield advance


@pytest.fixture(params=["sqlite", *DATABASES, "redis"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(store: str, tmp_path: Path) -> Site:
    if store == "sqlite":
        folder = tmp_path / "a folder"
        folder.mkdir()
        # What belongs to the file itself comes and goes with connections.
        return Site(
            f"sqlite:///{folder}/queue.db", lambda: {it.name for it in folder.iterdir() if "-bench-" in it.name}
        )
    there: Any = room(store)
    there.empty()
    things = (lambda: set(connect(there.url).keys("*"))) if store == "redis" else (lambda: set(there._tables()))
    return Site(there.url.render_as_string(False), lambda: {str(thing) for thing in things()})


@pytest.fixture
async def used(site: Site) -> AsyncIterator[Site]:
    """A site whose application has a job waiting; at the end there is what there was."""
    async with goose.running(site.app) as kernel:
        await kernel.get(Client).dispatch(Note())
    before = site.things()
    yield site
    assert site.things() == before
    assert await site.pending() == 1


@pytest.fixture(autouse=True)
def two_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that each side begins."""
    monkeypatch.setattr(rounds, "ROUNDS", 2)


async def test_every_figure(used: Site, store: str) -> None:
    bars = Bars()
    report = await used.measure(bars)
    assert set(report.rates) == set(get_args(Step))
    for rate in report.rates.values():
        assert rate.goose > 0
        assert rate.raw > 0
    for latency in (report.latency, report.raw_latency):
        assert 0 < latency.p50 <= latency.p95 <= latency.p99
    assert (report.plan, report.rounds) == (PLAN, 2)
    kinds = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mysql": "MariaDB|MySQL", "redis": "Redis|Valkey"}
    assert re.match(rf"({kinds[store]}) \d", report.facts["server"])
    assert len(report.facts) > 1
    assert len(bars.shown) == 5 * (2 + 1)
    assert {left for (left,) in bars.shown.values()} == {0}


async def test_an_error_in_the_middle(used: Site) -> None:
    seen: list[set[str]] = []
    before = used.things()

    def at(label: str) -> None:
        if label == "round 1 of 2: drain":
            seen.append(used.things() - before)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await used.measure(Bars(at=at))
    assert seen[0]


async def test_ctrl_c(used: Site, tmp_path: Path) -> None:
    """It ends in order within moments, and says so in one line."""
    (tmp_path / "main.py").write_text(
        "import goose\nfrom goose import Module\nfrom goose_queues import QueuesModule\n"
        f"app = goose.worker(Module, [QueuesModule(url={used.url!r}, auto_migrate=True)])\n"
    )
    before = used.things()
    words = [*GOOSE, "queue", "bench", "--jobs", "1000000"]
    process = await asyncio.create_subprocess_exec(*words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        await wait_until(lambda: len(used.things() - before) > 0 or process.returncode is not None)
        process.send_signal(signal.SIGINT)
        out, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, out, errors.splitlines()[-1]) == (1, b"", b"goose: stopped")


@pytest.mark.parametrize("store", ["sqlite", *DATABASES], indirect=True)
async def test_what_a_killed_bench_has_left(site: Site, store: str, tmp_path: Path) -> None:
    """The next one removes it, unless it is so young that it may be at work."""
    there: Any = None if store == "sqlite" else room(store)
    names = ["{}"] if store == "sqlite" else ["goose_bench_{}q_jobs", "goose_bench_{}r_jobs"]
    young = new_mark()
    for mark in (LONG_GONE, young):
        for name in names:
            if store == "sqlite":
                (tmp_path / "a folder" / f"queue.db-bench-{mark}").mkdir()
            else:
                there._run(f"CREATE TABLE {name.format(mark)} (id INTEGER)")
    async with opened(ground_of(site.settings)):
        pass
    left = {thing for thing in site.things() if "bench" in thing}
    try:
        assert len(left) == len(names)
        assert all(young in thing for thing in left)
    finally:
        for thing in left:
            if there is not None:
                there._run(f"DROP TABLE {thing}")


@pytest.mark.parametrize("store", ["redis"], indirect=True)
async def test_keys_of_a_killed_bench_expire(site: Site) -> None:
    """They do from the first moments on; and they keep no application from its first boot."""
    client = connect(room("redis").url)
    lives: dict[str, int] = {}

    def at(label: str) -> None:
        if label == "warming up: latency":
            lives.update({key.decode(): client.ttl(key) for key in client.keys("*")})
            raise RuntimeError("seen enough")

    with pytest.raises(RuntimeError, match="seen enough"):
        await site.measure(Bars(at=at))
    assert len(lives) == 4
    assert all(0 < life <= 24 * 3600 for life in lives.values())
    for key in lives:
        client.hset(key, "left", "behind")
    async with goose.running(site.app):
        pass


class TestRefusal:
    async def test_no_folder(self) -> None:
        with pytest.raises(BenchRefused) as refused:
            await Site("sqlite:////nowhere/at/all/queue.db", set).measure()
        assert str(refused.value).startswith(
            "the bench cannot make a folder beside the file on sqlite:////nowhere/at/all/queue.db: [Errno 2] "
        )

    @pytest.mark.parametrize("store", DATABASES, indirect=True)
    async def test_no_right_to_make_tables(self, site: Site, store: str) -> None:
        there: Any = room(store)
        user = f"goose_bench_{there.url.database[-8:]}"
        made = f"{user} LOGIN" if store == "postgres" else user
        there._run(f"CREATE {'ROLE' if store == 'postgres' else 'USER'} {made}")
        if store == "postgres":
            there._run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        else:
            there._run(f"GRANT SELECT ON {there.url.database}.* TO {user}")
        try:
            with pytest.raises(
                BenchRefused,
                match=r"^the bench cannot make tables named goose_bench_\.\.\. on .*(denied|no schema has been selected)",
            ):
                await Site(there.url.set(username=user).render_as_string(False), set).measure()
        finally:
            there._run(f"DROP {'ROLE' if store == 'postgres' else 'USER'} {user}")

    @pytest.mark.parametrize("scheme", ["redis", "postgresql", "mysql"])
    async def test_a_server_that_is_not_there(self, scheme: str) -> None:
        url = f"{scheme}://root:secret@127.0.0.1:{free_port()}/0"
        with pytest.raises(StoreUnavailable) as down:
            await Site(url, set).measure()
        assert "secret" not in str(down.value)

    async def test_jobs_that_do_not_run(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """They are waited for as long as others run, and no longer."""
        monkeypatch.setattr("goose_queues.bench.work.PATIENCE", 0.05)
        monkeypatch.setattr("goose_queues.bench.work.Tally.__call__", lambda tally: None)
        with pytest.raises(BenchFailed, match=r"^0 of 10 jobs have run, and none for 0\.05 s: see the log$"):
            await Site(f"sqlite:///{tmp_path}/queue.db", set).measure()
        assert list(tmp_path.iterdir()) == []


class TestPlace:
    async def test_a_private_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """It is in the folder for temporary files, as the bench is."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        ground = ground_of(Site("sqlite://", set).settings)
        async with opened(ground):
            assert [it.name for it in tmp_path.iterdir()] == [Path(ground.url).parent.name]
        assert list(tmp_path.iterdir()) == []

    def test_the_applications_own_database(self) -> None:
        """Its options are SqlModule's then."""
        sql = SqlModule("sqlite:///app.db", synchronous="normal", pool_size=3)
        for queues in (QueuesModule(), QueuesModule(url="sqlite:///./app.db", synchronous="full")):
            found = settings_of(goose.worker(AppModule, [sql, queues]).new_kernel().modules)
            assert (found.url, found.synchronous, found.pool_size) == ("sqlite:///app.db", "normal", 3)

    def test_another_database(self) -> None:
        modules = [SqlModule("sqlite:///app.db", synchronous="normal"), QueuesModule(url="sqlite:///queue.db")]
        found = settings_of(goose.worker(AppModule, modules).new_kernel().modules)
        assert (found.url, found.synchronous) == ("sqlite:///queue.db", "full")

    def test_none_that_is_named(self) -> None:
        found = settings_of(goose.worker(AppModule, [QueuesModule()]).new_kernel().modules)
        assert found.url == "sqlite:///goose.db"

    @pytest.mark.parametrize("prefix", ["goose_", "p" * 32])
    def test_names_are_good_ones(self, prefix: str) -> None:
        """Of tables and keys, whatever the application's prefix."""
        for url in ("postgresql://localhost/test", "redis://localhost"):
            settings = settings_of(
                goose.worker(AppModule, [QueuesModule(url=url, table_prefix=prefix)]).new_kernel().modules
            )
            assert re.fullmatch(rf"{prefix[:14]}bench_[0-9a-f]{{10}}q_", ground_of(settings).prefix)
            assert len(ground_of(settings).prefix) <= 32


@pytest.mark.parametrize("jobs", [50, 10_000, 123_457])
def test_shares(jobs: int) -> None:
    """Every step of a round has something to do, and a round does its part of the jobs."""
    share = Share.of(jobs)
    assert min(share.alone, share.together, share.many, share.late) > 0
    assert share.jobs == jobs // rounds.ROUNDS


class TestOutput:
    REPORT = Report(
        Plan(10_000, 100, 200),
        5,
        "postgresql+psycopg://root:***@db/shop",
        {"server": "PostgreSQL 16.3", "fsync": "on", "synchronous_commit": "on"},
        {step: Rate(1_500.4, 3_000.0) for step in get_args(Step)},
        Latency(1.5, 2.25, 3.125),
        Latency(0.5, 0.75, 1.0),
    )

    def test_in_a_pipe(self, capsys: pytest.CaptureFixture[str]) -> None:
        _say(self.REPORT)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == (
            "PostgreSQL 16.3 (fsync=on, synchronous_commit=on) at postgresql+psycopg://root:***@db/shop"
        )
        assert re.fullmatch(r"goose \S+, python 3\.\d+\.\d+\S*", lines[1])
        assert lines[2] == (
            "10,000 jobs of 200 bytes, 100 at once; medians of 5 rounds in turn with the store's plainest statements"
        )
        assert lines[4].split() == ["RATE", "GOOSE", "RAW", "RATIO"]
        assert [line.split()[-3:] for line in lines[5:9]] == [["1,500/s", "3,000/s", "50%"]] * 4
        assert lines[10].split() == ["LATENCY", "P50", "P95", "P99"]
        assert lines[11].split()[-6:] == ["1.50", "ms", "2.25", "ms", "3.12", "ms"]

    def test_json(self, tmp_path: Path) -> None:
        """A whole run: JSON on stdout, nothing on stderr."""
        (tmp_path / "main.py").write_text(
            "import goose\nfrom goose import Module\nfrom goose_queues import QueuesModule\n"
            'app = goose.worker(Module, [QueuesModule(url="sqlite:///queue.db", synchronous="normal")])\n'
        )
        words = [*GOOSE, "queue", "bench", "--jobs", "50", "--concurrency", "3", "--payload", "40", "--json"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(done.stdout)
        assert set(found) == {
            *("goose", "python", "url", "store", "jobs", "rounds", "concurrency", "payload", "rates", "latency")
        }
        assert (found["jobs"], found["rounds"], found["concurrency"], found["payload"]) == (50, 5, 3, 40)
        assert found["store"]["synchronous"] == "normal"
        assert set(found["rates"]) == set(get_args(Step))
        assert all(set(rate) == {"rate", "raw", "ratio"} and min(rate.values()) > 0 for rate in found["rates"].values())
        assert set(found["latency"]) == {"p50", "p95", "p99", "raw"}
        assert {it.name for it in tmp_path.iterdir()} <= {"main.py", "__pycache__"}
