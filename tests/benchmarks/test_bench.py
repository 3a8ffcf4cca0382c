"""The benchmarks run: every contestant, tiny sizes, every job counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from redis import ConnectionError as ConnectionRefused
from redis import Redis

from benchmarks import place as place_module
from benchmarks import run
from benchmarks.contest import OURS, RAW, Benchmark, Lineup, Metric
from benchmarks.place import Store, place
from benchmarks.traffic import watched
from servers.private import binary
from servers.shared import server
from soak import size

ROOT = Path(__file__).parents[2]
CONTESTS = {
    "drain": ["goose", "huey", "raw"],
    "dispatch_alone": ["goose", "huey", "raw"],
    "dispatch_together": ["goose", "huey", "huey threads", "raw"],
    "dispatch_many": ["goose", "raw"],
    "latency": ["goose", "huey", "raw"],
    "due": ["goose", "goose elsewhere", "huey"],
    "batches": ["goose", "plain jobs"],
    "chains": ["goose", "plain jobs"],
    "large_batch": ["goose", "plain jobs"],
    "steering": ["goose"],
    "crowd": ["goose", "empty table", "backlog"],
    "backlog": ["goose", "a hundredth"],
    "memory": ["goose"],
    "web": ["goose", "starlette"],
    "boot": ["goose"],
    "importing": ["goose", "goose_queues", "starlette+pydantic"],
}
ON_SERVERS = {
    "postgresql": [
        "drain",
        "drain_backlog",
        "dispatch_alone",
        "dispatch_together",
        "dispatch_many",
        "wake_ups",
        "latency",
        "held_snapshot",
    ],
    "mariadb": ["drain", "dispatch_many", "latency"],
    "redis": [
        "drain",
        "dispatch_alone",
        "dispatch_together",
        "dispatch_many",
        "latency",
        "latency_elsewhere",
        "commands",
        "footprint",
    ],
}
SHORTLY = {"postgresql": ["drain", "wake_ups"], "mariadb": ["drain"], "redis": ["drain", "commands", "footprint"]}
"""What stands for those in the suite; ``make soak`` runs all."""
SERVERS = {"postgresql": "postgres", "mariadb": "mysql"}
SIZES = {"steering": 2, "held_snapshot": 1, "footprint": 1_000}
"""Where the usual twenty would take long, or be too few to be seen."""
WAITS = {"dispatch", "heartbeat", "dispatch_elsewhere", "heartbeat_elsewhere"}
"""A batch of twenty may be stored before a probe comes that could have waited for it."""
NONE = {"server_ms", "early", "growth", "files", "pause_p50", "pause_max", "dispatch_cpu", "drain_cpu", *WAITS}
"""What may be nought: processor time comes in hundredths of a second, and the others had better be."""


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", CONTESTS)
def test_every_contestant_does_all_its_work_and_has_figures(name: str, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = bench(name, "--quick", "--size", str(SIZES.get(name, 20)), "--folder", str(tmp_path), "--json", str(figures))
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(figures.read_text())
    assert list(result["medians"]) == CONTESTS[name]
    for medians in result["medians"].values():
        assert all(value > 0 or (value == 0 and metric in NONE) for metric, value in medians.items())


@pytest.mark.parametrize(
    ("store", "name"), [(store, name) for store, names in size(SHORTLY, ON_SERVERS).items() for name in names]
)
def test_on_a_server_everyone_who_is_installed_does_all_its_work(store: Store, name: str, tmp_path: Path) -> None:
    binary("redis", "redis-server") if store == "redis" else server(SERVERS[store])
    figures = tmp_path / "figures.json"
    jobs = str(SIZES.get(name, 20))
    done = bench(name, "--store", store, "--quick", "--size", jobs, "--folder", str(tmp_path), "--json", str(figures))
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(figures.read_text())
    contestants = run.BENCHMARKS[name].lineup(store).contestants
    assert result["medians"].keys() | set(result["left_out"]) == contestants.keys()
    assert not {OURS, RAW} & set(result["left_out"])
    for medians in result["medians"].values():
        assert all(value > 0 or (value == 0 and metric in NONE) for metric, value in medians.items())


@pytest.mark.parametrize("store", SERVERS)
def test_a_trial_has_a_database_of_its_own_that_is_dropped(store: Store, tmp_path: Path) -> None:
    server(SERVERS[store])
    with place(store, tmp_path) as first, place(store, tmp_path) as second:
        assert first != second
        assert {first, second} <= databases(store)
    assert not {first, second} & databases(store)


def test_on_redis_a_trial_has_a_server_of_its_own_that_is_gone_afterwards(tmp_path: Path) -> None:
    binary("redis", "redis-server")
    with (
        place("redis", tmp_path) as first,
        place("redis", tmp_path) as second,
        Redis.from_url(first) as one,
        Redis.from_url(second) as other,
    ):
        one.set("key", "of one")
        assert other.dbsize() == 0
    with Redis.from_url(first) as one, pytest.raises(ConnectionRefused):
        one.ping()
    assert not list(tmp_path.iterdir())


def test_what_is_sent_to_redis_and_what_scripts_call_are_counted_apart(tmp_path: Path) -> None:
    binary("redis", "redis-server")
    with place("redis", tmp_path) as url, Redis.from_url(url) as redis:
        redis.ping()
        with watched(url) as traffic:
            redis.eval("redis.call('SET', 'a', 1) redis.call('SET', 'b', 2)", 0)
            with redis.pipeline(transaction=False) as pipe:
                pipe.get("a").get("b").execute()
    assert (traffic.sent, traffic.calls) == (3, 5)


def databases(store: Store) -> set[str]:
    """Those of trials on the server, as URLs."""
    query = {
        "postgresql": "select string_agg(datname, ' ') from pg_database where datname like 'bench%'",
        "mariadb": "select group_concat(schema_name separator ' ') from information_schema.schemata "
        "where schema_name like 'bench%'",
    }
    (names,) = place_module._ask(store, query[store])
    return {place_module._server(store)._replace(path=f"/{name}").geturl() for name in (names or "").split()}


def test_a_peer_that_is_not_installed_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "find_spec", lambda package: None)
    monkeypatch.setattr(run, "_run_one", lambda *_: {"rate": 2.0, "memory": 1.0})
    nobody = dict.fromkeys((OURS, "oban", "pgqueuer by 500", RAW), lambda trial: {})
    benchmark = Benchmark("any", "", (Metric("rate", "jobs/s"),), 1, 1, servers={"postgresql": Lineup(nobody)})
    result = run.contest(benchmark, "postgresql", 1, 2, tmp_path)
    assert list(result.rounds) == [OURS, RAW]
    assert run.render(result).splitlines()[-2:] == [
        "  left out: oban, which is not installed",
        "  left out: pgqueuer by 500, which is not installed",
    ]


def test_a_benchmark_that_nobody_runs_on_a_store_is_refused_there() -> None:
    done = bench("web", "--store", "mariadb")
    assert done.returncode == 2
    assert "no benchmark named web on mariadb: choose from drain, " in done.stderr


@pytest.mark.parametrize(
    ("handled", "sentence"),
    [
        ([0, 1], "2 of 3 jobs ran: 1 are missing"),
        ([0, 1, 1], "2 of 3 jobs ran: 1 are missing"),
        ([0, 1, 2, 2], "1 of 3 jobs ran more than once"),
    ],
)
def test_a_job_that_is_missed_or_runs_twice_spoils_the_run(handled: list[int], sentence: str) -> None:
    """``verify`` raises in the contestant's process, which then has no figures and an exit code that is not 0."""
    script = (
        "from tests.benchmarks.measure import Counter\n"
        "counter = Counter(3)\n"
        f"for number in {handled}: counter(number)\n"
        "counter.verify()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"tests.benchmarks.contest.BenchmarkError: {sentence}"


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    done = bench("drian")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "make bench: error: no benchmark named drian: choose from drain, dispatch_alone, dispatch_together, "
        "dispatch_many, latency, due, batches, chains, large_batch, steering, crowd, backlog, memory, web, boot, "
        "importing"
    )
