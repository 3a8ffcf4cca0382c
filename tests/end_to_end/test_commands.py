"""The ``goose`` command as a user meets it: real processes, in folders of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

GOOSE = Path(sys.executable).with_name("goose")
PATIENCE = 60.0
"""Seconds after which a process counts as hung."""


def goose(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, with the exit code that it should have."""
    return said(folder, str(GOOSE), *words, code=code)


def said(folder: Path, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def environment() -> dict[str, str]:
    """This one's, without what would lead a project's own tests and tools astray."""
    led = ("GOOSE_", "PYTEST_", "COV_", "DATABASE_URL", "PYTHONPATH", "COVERAGE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(led)} | {"NO_COLOR": "1"}


@contextmanager
def running(folder: Path, *words: str) -> Iterator[Server]:
    """A command that serves until it is told to stop; killed if it is still there at the end."""
    process = subprocess.Popen(
        [str(GOOSE), *words],
        cwd=folder,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    server = Server(process)
    try:
        yield server
    finally:
        process.kill()
        server.join()


class Server:
    """A process that serves, and everything that it has said on stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._spoke = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def says(self, pattern: str) -> re.Match[str]:
        """The first match in what it says, awaited."""
        with self._spoke:
            self._spoke.wait_for(lambda: re.search(pattern, self.log) or not self._reader.is_alive(), PATIENCE)
        found = re.search(pattern, self.log)
        assert found is not None, f"it never said {pattern!r}:\n{self.log}"
        return found

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def join(self) -> None:
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            with self._spoke:
                self.lines.append(line)
                self._spoke.notify_all()


def ask(url: str, body: object = None) -> tuple[int, object]:
    """Status and JSON of a request: GET, or POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return response.status, json.load(response)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh application, as ``goose new app`` writes it."""
    folder = tmp_path_factory.mktemp("projects")
    done = goose(folder, "new", "app", "shop")
    assert done.stdout.endswith("\nNext: cd shop && goose run\n")
    return folder / "shop"


def passes_its_tests(project: Path, *arguments: str) -> int:
    """How many tests passed, all of them."""
    done = said(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments)
    found = re.search(r"^(\d+) passed in", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return int(found[1])


def test_a_new_application_passes_its_own_tests(shop: Path) -> None:
    assert passes_its_tests(shop) == 6


def test_a_new_application_passes_its_own_checks(shop: Path) -> None:
    said(shop, sys.executable, "-m", "ruff", "check")
    said(shop, sys.executable, "-m", "ruff", "format", "--check")
    said(shop, sys.executable, "-m", "mypy")


def test_a_new_application_serves_runs_jobs_and_stops(shop: Path) -> None:
    with running(shop, "run", "--port", "0") as server:
        base = server.says(r"http://127\.0\.0\.1:\d+")[0]
        assert ask(f"{base}/greetings/Ada") == (200, {"greeting": "Hello, Ada!"})
        assert ask(f"{base}/readyz")[0] == 200
        status, answer = ask(f"{base}/greetings", {"to": "Grace"})
        assert status == 202
        assert isinstance(answer, dict)
        server.says("greeted: Hello, Grace!")
        assert server.stop() == 0
    assert "Traceback" not in server.log


def test_the_server_says_in_one_line_that_its_port_is_taken(shop: Path) -> None:
    with running(shop, "run", "--port", "0") as server:
        port = server.says(r"http://127\.0\.0\.1:(\d+)")[1]
        second = goose(shop, "run", "--port", port, code=1)
    assert f"goose: cannot listen on 127.0.0.1:{port}: the address is in use or not allowed\n" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_new_job_is_registered_and_its_test_passes(shop: Path) -> None:
    shown = goose(shop, "new", "job", "SendEmail", "--queue", "emails", "--dry-run")
    assert shown.stdout.startswith("would write app/jobs/send_email.py\nwould write tests/jobs/test_send_email.py\n")
    assert "\n+        SendEmail,\n" in shown.stdout
    assert not (shop / "app/jobs/send_email.py").exists()

    done = goose(shop, "new", "job", "SendEmail", "--queue", "emails")
    assert done.stdout == (
        "wrote app/jobs/send_email.py\n"
        "wrote tests/jobs/test_send_email.py\n"
        "added SendEmail to AppModule.declarations in app/module.py\n"
    )
    assert "SendEmail (job)" in goose(shop, "graph").stdout
    assert passes_its_tests(shop, "tests/jobs/test_send_email.py") == 1
    test_a_new_application_passes_its_own_checks(shop)

    again = goose(shop, "new", "job", "SendEmail", code=1)
    assert again.stderr == "goose: app/jobs/send_email.py exists: nothing was written; --force overwrites it\n"
    goose(shop, "new", "job", "SendEmail", "--force")
    assert (shop / "app/module.py").read_text().count("SendEmail") == 2


def test_a_module_that_cannot_be_edited_is_left_alone(shop: Path, tmp_path: Path) -> None:
    goose(tmp_path, "new", "app", "shop")
    module = tmp_path / "shop/app/module.py"
    text = module.read_text().replace("declarations = (", "declarations = tuple() + (")
    module.write_text(text)
    done = goose(tmp_path / "shop", "new", "job", "SendEmail")
    assert done.stdout.endswith(
        "app/module.py was left as it is (AppModule.declarations is not a plain tuple or list). Add to it:\n"
        "    from app.jobs.send_email import SendEmail\n"
        "and SendEmail to the module's declarations.\n"
    )
    assert module.read_text() == text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("new", "app", "../shop"),
            "'../shop' cannot name a project: use letters, digits and _, beginning with a letter",
        ),
        (("new", "app", "class"), "'class' cannot name a project: it is a keyword of Python"),
        (
            ("new", "job", "../../etc/x"),
            "'../../etc/x' cannot name a job: use letters, digits and _, beginning with a letter",
        ),
        (
            ("new", "job", "A", "--module", "../module"),
            "'' cannot name a module: use letters, digits and _, beginning with a letter",
        ),
        (
            ("new", "job", "SendEmail"),
            "there is no app/module.py here: go to the project's folder, or name the module with --module package.module",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert goose(tmp_path, *words, code=1).stderr == f"goose: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/mine.txt").write_text("mine")
    refused = goose(tmp_path, "new", "app", "shop", code=1)
    assert refused.stderr == "goose: the folder shop is not empty: nothing was written; --force writes into it\n"
    goose(tmp_path, "new", "app", "shop", "--force")
    assert (tmp_path / "shop/mine.txt").read_text() == "mine"


def test_routes_and_graph_of_a_new_application(shop: Path) -> None:
    assert re.search(r"^POST +/greetings +GreetingsController.send$", goose(shop, "routes").stdout, re.MULTILINE)
    tree = goose(shop, "graph").stdout
    assert "  GreetingsController (scoped) <- Greeter, Client of QueuesModule\n" in tree
    assert "SendGreeting (job) <- Greeter\n" in tree
    assert "QueuesModule (global)\n" in tree


DISPATCH = """
import asyncio, goose
from goose_queues import Client
from app.jobs.send_greeting import SendGreeting
from main import app

async def dispatch() -> None:
    async with goose.running(app) as kernel:
        for name in ("Ada", "Grace", "Mary"):
            await kernel.get(Client).dispatch(SendGreeting(to=name))

asyncio.run(dispatch())
"""


def test_a_worker_runs_what_is_due_and_ends(tmp_path: Path) -> None:
    goose(tmp_path, "new", "app", "shop")
    shop = tmp_path / "shop"
    (shop / "dispatch.py").write_text(DISPATCH)
    said(shop, sys.executable, "dispatch.py")
    assert counts(shop) == {"pending": 3, "completed": 0}
    assert "greeted: Hello, Grace!" in goose(shop, "queue", "work", "--burst").stderr
    assert counts(shop) == {"pending": 0, "completed": 3}
    assert re.search(r"^greetings( +\d+){6}$", goose(shop, "queue", "stats").stdout, re.MULTILINE)


def counts(shop: Path) -> dict[str, int]:
    stats = json.loads(goose(shop, "queue", "stats", "--json").stdout)["greetings"]
    return {name: stats[name] for name in ("pending", "completed")}


def test_a_worker_stops_on_sigterm(tmp_path: Path) -> None:
    goose(tmp_path, "new", "app", "shop")
    shop = tmp_path / "shop"
    (shop / "dispatch.py").write_text(DISPATCH)
    with running(shop, "queue", "work") as worker:
        said(shop, sys.executable, "dispatch.py")
        worker.says("greeted: Hello, Mary!")
        assert worker.stop() == 0
    assert "Traceback" not in worker.log


STORED = """
import goose
from goose import ApiPlatform, Module, api
from goose_queues import QueuesModule
from goose_sql import SqlModule
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase): ...

class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)

class OrdersModule(Module):
    imports = (SqlModule(url="sqlite:///orders.db"),)
    metadata = Base.metadata

app = api(ApiPlatform(), OrdersModule, [QueuesModule(auto_migrate=False)])
"""


def test_migrations_are_checked_and_carried_out(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(STORED)
    unready = goose(tmp_path, "db", "check", code=1)
    assert "goose db migrate" in unready.stderr
    assert unready.stderr.count("\n") == 1
    goose(tmp_path, "db", "migrate")
    goose(tmp_path, "db", "check")
    goose(tmp_path, "db", "migrate")


@pytest.mark.parametrize("word", ["queue", "db"])
def test_outside_an_application_a_modules_command_says_so(tmp_path: Path, word: str) -> None:
    done = goose(tmp_path, word, "stats", code=1)
    assert done.stderr == (
        f"goose: {word!r} is not a command of goose itself, and no application found: "
        f"there is no module 'main' in {tmp_path}. "
        "Go to the project's folder, or name the application: goose --app module:attribute ...\n"
    )


def test_the_version_and_help_need_no_application(tmp_path: Path) -> None:
    assert re.fullmatch(r"goose \d+\.\d+\.\d+\n", goose(tmp_path, "--version").stdout)
    assert "routes" in goose(tmp_path, "--help").stdout
    misspelt = goose(tmp_path, "rnu", code=2)
    assert misspelt.stderr == "goose: No such command 'rnu'. Did you mean 'run'? Try 'goose --help'.\n"
