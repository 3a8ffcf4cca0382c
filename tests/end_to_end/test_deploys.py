"""Tests of what a deploy does with a server: ``goose db`` and boots as real commands, by users with and without rights."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from end_to_end.installed import Goose
from goose_sql import Database
from servers.shared import DATABASES, Room, connect, room

MAIN = """
import goose
from goose import Module
from goose_queues import Job, JobContext, QueuesModule

class Work(Job):
    async def handle(self, ctx: JobContext) -> None: ...

class AppModule(Module):
    declarations = (Work,)

queues = goose.worker(AppModule, [QueuesModule()])
"""

POOR = f"goose_poor_{os.getpid()}"
"""A user of the servers who may do nothing yet."""


@pytest.fixture(params=DATABASES)
def empty(request: pytest.FixtureRequest) -> Iterator[Room]:
    ours = room(request.param)
    ours.clear()
    yield ours
    ours.clear()


class Deploy:
    """Runs ``goose`` in a project, for a database."""

    def __init__(self, goose: Goose, project: Path, url: URL, **options: str) -> None:
        self._goose = goose
        self._project = project
        self._options = {
            "GOOSE_QUEUES_URL": url.render_as_string(hide_password=False),
            **{f"GOOSE_QUEUES_{option}": value for option, value in options.items()},
        }

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return self._goose.begin(self._project, "--app", "main:queues", *words, **self._options)

    def __call__(self, *words: str, code: int = 0) -> str:
        return ended(self.begin(*words), code)


@pytest.fixture
def deploy(goose: Goose, tmp_path: Path) -> Callable[..., Deploy]:
    """The project with its queue there, and options of it: ``deploy(url, TABLE_PREFIX="mine_")``."""
    (tmp_path / "main.py").write_text(MAIN)
    return functools.partial(Deploy, goose, tmp_path)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    assert code == 0 or err.count("\n") == 1, err
    return out if code == 0 else err


@pytest.fixture
def poor(empty: Room) -> Iterator[Callable[..., URL]]:
    """A user who may connect; what else is granted, as ``poor("SELECT")`` on all tables."""
    is_postgres = empty.url.get_backend_name() == "postgresql"
    name = POOR if is_postgres else f"{POOR}@'%'"

    def run(*statements: str) -> None:
        with closing(connect(empty.url)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def grant(*rights: str) -> URL:
        everything = "ALL TABLES IN SCHEMA public" if is_postgres else f"`{empty.url.database}`.*"
        if rights:
            run(f"GRANT {', '.join(rights)} ON {everything} TO {name}")
        return empty.url.set(username=POOR)

    if is_postgres:
        run(f"CREATE ROLE {POOR} LOGIN", f"GRANT USAGE ON SCHEMA public TO {POOR}")
    else:
        run(f"CREATE USER {name}", f"GRANT USAGE ON *.* TO {name}")
    yield grant
    run(*((f"DROP OWNED BY {POOR}", f"DROP ROLE {POOR}") if is_postgres else (f"DROP USER {name}",)))


def test_the_whole_way(empty: Room, deploy: Callable[..., Deploy]) -> None:
    """Nothing boots before the migration, which many may run at once; afterwards everything does."""
    owner = deploy(empty.url)
    shown = Database(empty.url).url
    assert owner("db", "check", code=1) == f"goose: {shown} lacks migrations of QueuesModule. Run: goose db migrate\n"
    assert owner("queue", "work", "--burst", code=1) == (
        f"goose: {shown} has no tables for the queue. Run: goose db migrate\n"
    )
    migrating = [owner.begin("db", "migrate") for _ in range(3)]
    assert sorted(ended(each) for each in migrating) == [
        "migrated QueuesModule\n",
        "nothing to migrate\n",
        "nothing to migrate\n",
    ]
    assert owner("db", "check") == "nothing to migrate\n"
    owner("queue", "work", "--burst")


def test_a_prefix(empty: Room, deploy: Callable[..., Deploy]) -> None:
    """The prefix of the environment is what is checked, made and booted with."""
    default, mine = deploy(empty.url), deploy(empty.url, TABLE_PREFIX="mine_")
    default("db", "migrate")
    assert "lacks migrations of QueuesModule" in mine("db", "check", code=1)
    assert "has no tables for the queue" in mine("queue", "stats", code=1)
    assert mine("db", "migrate") == "migrated QueuesModule\n"
    assert mine("db", "check") == default("db", "check") == "nothing to migrate\n"
    assert "default" in mine("queue", "stats")


def test_a_user_without_rights(empty: Room, deploy: Callable[..., Deploy], poor: Callable[..., URL]) -> None:
    """Who may not make tables, or not write into them, is told so; who may do no more than that can work."""
    owner = deploy(empty.url)
    if empty.url.get_backend_name() == "mysql":
        # There, a database in which one may do nothing is none.
        poor("SELECT")
    without = deploy(poor())
    refusal = without("db", "migrate", code=1)
    assert "denied" in refusal
    assert refusal.endswith("Give its user the right to do so, or name another user in the URL.\n")
    owner("db", "migrate")
    reader = deploy(poor("SELECT"))
    assert reader("db", "check") == "nothing to migrate\n"
    refusal = reader("queue", "work", "--burst", code=1)
    assert "goose_jobs" in refusal
    assert refusal.endswith("Give its user the right to do so, or name another user in the URL.\n")
    writer = deploy(poor("SELECT", "INSERT", "UPDATE", "DELETE"))
    writer("queue", "work", "--burst")


@pytest.mark.parametrize("empty", ["postgres"], indirect=True)
def test_a_server_that_takes_no_writes(empty: Room, deploy: Callable[..., Deploy]) -> None:
    """A read-only replica is refused, before and after the tables have come there."""
    replica = make_url(empty.url).update_query_dict({"options": "-cdefault_transaction_read_only=on"})
    sentence = "It takes no writes: name the primary server, not a replica.\n"
    assert deploy(replica)("db", "migrate", code=1).endswith(sentence)
    deploy(empty.url)("db", "migrate")
    refusal = deploy(replica)("queue", "work", "--burst", code=1)
    assert "read-only transaction. " + sentence in refusal
