"""Tests of what a deploy does with a server: ``goose db`` and boots as real commands, by users with and without rights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, make_url

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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(MAIN)
    return tmp_path


class Goose:
    """Runs ``goose`` in a project, for a database."""

    def __init__(self, project: Path, url: URL, **environment: str) -> None:
        self._project = project
        self.environment = {
            **os.environ,
            "GOOSE_QUEUES_URL": url.render_as_string(hide_password=False),
            **{f"GOOSE_QUEUES_{option}": value for option, value in environment.items()},
        }

    def begin(self, *words: str) -> subprocess.Popen[str]:
        command = [Path(sys.executable).with_name("goose"), "--app", "main:queues", *words]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self._project, env=self.environment, **pipes)

    def __call__(self, *words: str, code: int = 0) -> str:
        return ended(self.begin(*words), code)


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


def test_the_whole_way(empty: Room, project: Path) -> None:
    """Nothing boots before the migration, which many may run at once; afterwards everything does."""
    goose = Goose(project, empty.url)
    shown = Database(empty.url).url
    assert goose("db", "check", code=1) == f"goose: {shown} lacks migrations of QueuesModule. Run: goose db migrate\n"
    assert goose("queue", "work", "--burst", code=1) == (
        f"goose: {shown} has no tables for the queue. Run: goose db migrate\n"
    )
    migrating = [goose.begin("db", "migrate") for _ in range(3)]
    assert sorted(ended(each) for each in migrating) == [
        "migrated QueuesModule\n",
        "nothing to migrate\n",
        "nothing to migrate\n",
    ]
    assert goose("db", "check") == "nothing to migrate\n"
    goose("queue", "work", "--burst")


def test_a_prefix(empty: Room, project: Path) -> None:
    """The prefix of the environment is what is checked, made and booted with."""
    default, mine = Goose(project, empty.url), Goose(project, empty.url, TABLE_PREFIX="mine_")
    default("db", "migrate")
    assert "lacks migrations of QueuesModule" in mine("db", "check", code=1)
    assert "has no tables for the queue" in mine("queue", "stats", code=1)
    assert mine("db", "migrate") == "migrated QueuesModule\n"
    assert mine("db", "check") == default("db", "check") == "nothing to migrate\n"
    assert "default" in mine("queue", "stats")


def test_a_user_without_rights(empty: Room, project: Path, poor: Callable[..., URL]) -> None:
    """Who may not make tables, or not write into them, is told so; who may do no more than that can work."""
    goose = Goose(project, empty.url)
    if empty.url.get_backend_name() == "mysql":
        # There, a database in which one may do nothing is none.
        poor("SELECT")
    without = Goose(project, poor())
    refusal = without("db", "migrate", code=1)
    assert "denied" in refusal
    assert refusal.endswith("Give its user the right to do so, or name another user in the URL.\n")
    goose("db", "migrate")
    reader = Goose(project, poor("SELECT"))
    assert reader("db", "check") == "nothing to migrate\n"
    refusal = reader("queue", "work", "--burst", code=1)
    assert "goose_jobs" in refusal
    assert refusal.endswith("Give its user the right to do so, or name another user in the URL.\n")
    writer = Goose(project, poor("SELECT", "INSERT", "UPDATE", "DELETE"))
    writer("queue", "work", "--burst")


@pytest.mark.parametrize("empty", ["postgres"], indirect=True)
def test_a_server_that_takes_no_writes(empty: Room, project: Path) -> None:
    """A read-only replica is refused, before and after the tables have come there."""
    replica = make_url(empty.url).update_query_dict({"options": "-cdefault_transaction_read_only=on"})
    sentence = "It takes no writes: name the primary server, not a replica.\n"
    assert Goose(project, replica)("db", "migrate", code=1).endswith(sentence)
    Goose(project, empty.url)("db", "migrate")
    refusal = Goose(project, replica)("queue", "work", "--burst", code=1)
    assert "read-only transaction. " + sentence in refusal
