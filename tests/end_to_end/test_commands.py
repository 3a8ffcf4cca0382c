"""The ``goose`` command as a user meets it: real processes, in folders of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from end_to_end.installed import Goose, ask


def test_a_new_application_passes_its_own_tests(goose: Goose, shop: Path) -> None:
    assert goose.tests(shop) == 6


def test_a_new_application_passes_its_own_checks(goose: Goose, shop: Path) -> None:
    goose.module(shop, "-m", "ruff", "check")
    goose.module(shop, "-m", "ruff", "format", "--check")
    goose.module(shop, "-m", "mypy")


def test_a_new_application_serves_runs_jobs_and_stops(goose: Goose, shop: Path) -> None:
    with goose.running(shop, "run", "--port", "0") as server:
        base = server.says(r"http://127\.0\.0\.1:\d+")[0]
        assert ask(f"{base}/greetings/Ada") == (200, {"greeting": "Hello, Ada!"})
        assert ask(f"{base}/readyz")[0] == 200
        status, answer = ask(f"{base}/greetings", {"to": "Grace"})
        assert status == 202
        assert isinstance(answer, dict)
        server.says("greeted: Hello, Grace!")
        assert server.stop() == 0
    assert "Traceback" not in server.log


def test_the_server_says_in_one_line_that_its_port_is_taken(goose: Goose, shop: Path) -> None:
    with goose.running(shop, "run", "--port", "0") as server:
        port = server.says(r"http://127\.0\.0\.1:(\d+)")[1]
        second = goose(shop, "run", "--port", port, code=1)
    assert f"goose: cannot listen on 127.0.0.1:{port}: the address is in use or not allowed\n" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_new_job_is_registered_and_its_test_passes(goose: Goose, shop: Path) -> None:
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
    assert goose.tests(shop, "tests/jobs/test_send_email.py") == 1
    test_a_new_application_passes_its_own_checks(goose, shop)

    again = goose(shop, "new", "job", "SendEmail", code=1)
    assert again.stderr == "goose: app/jobs/send_email.py exists: nothing was written; --force overwrites it\n"
    goose(shop, "new", "job", "SendEmail", "--force")
    assert (shop / "app/module.py").read_text().count("SendEmail") == 2


def test_a_module_that_cannot_be_edited_is_left_alone(goose: Goose, shop: Path, tmp_path: Path) -> None:
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
    goose: Goose, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert goose(tmp_path, *words, code=1).stderr == f"goose: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_written_into(goose: Goose, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/mine.txt").write_text("mine")
    refused = goose(tmp_path, "new", "app", "shop", code=1)
    assert refused.stderr == "goose: the folder shop is not empty: nothing was written; --force writes into it\n"
    goose(tmp_path, "new", "app", "shop", "--force")
    assert (tmp_path / "shop/mine.txt").read_text() == "mine"


def test_routes_and_graph_of_a_new_application(goose: Goose, shop: Path) -> None:
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


def test_a_worker_runs_what_is_due_and_ends(goose: Goose, tmp_path: Path) -> None:
    goose(tmp_path, "new", "app", "shop")
    shop = tmp_path / "shop"
    (shop / "dispatch.py").write_text(DISPATCH)
    goose.module(shop, "dispatch.py")
    assert counts(goose, shop) == {"pending": 3, "completed": 0}
    assert "greeted: Hello, Grace!" in goose(shop, "queue", "work", "--burst").stderr
    assert counts(goose, shop) == {"pending": 0, "completed": 3}
    assert re.search(r"^greetings( +\d+){6}$", goose(shop, "queue", "stats").stdout, re.MULTILINE)


def counts(goose: Goose, shop: Path) -> dict[str, int]:
    stats = json.loads(goose(shop, "queue", "stats", "--json").stdout)["greetings"]
    return {name: stats[name] for name in ("pending", "completed")}


def test_a_worker_stops_on_sigterm(goose: Goose, tmp_path: Path) -> None:
    goose(tmp_path, "new", "app", "shop")
    shop = tmp_path / "shop"
    (shop / "dispatch.py").write_text(DISPATCH)
    with goose.running(shop, "queue", "work") as worker:
        goose.module(shop, "dispatch.py")
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


def test_migrations_are_checked_and_carried_out(goose: Goose, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(STORED)
    unready = goose(tmp_path, "db", "check", code=1)
    assert "goose db migrate" in unready.stderr
    assert unready.stderr.count("\n") == 1
    goose(tmp_path, "db", "migrate")
    goose(tmp_path, "db", "check")
    goose(tmp_path, "db", "migrate")


@pytest.mark.parametrize("word", ["queue", "db"])
def test_outside_an_application_a_modules_command_says_so(goose: Goose, tmp_path: Path, word: str) -> None:
    done = goose(tmp_path, word, "stats", code=1)
    assert done.stderr == (
        f"goose: {word!r} is not a command of goose itself, and no application found: "
        f"there is no module 'main' in {tmp_path}. "
        "Go to the project's folder, or name the application: goose --app module:attribute ...\n"
    )


def test_the_version_and_help_need_no_application(goose: Goose, tmp_path: Path) -> None:
    assert re.fullmatch(r"goose \d+\.\d+\.\d+\n", goose(tmp_path, "--version").stdout)
    assert "routes" in goose(tmp_path, "--help").stdout
    misspelt = goose(tmp_path, "rnu", code=2)
    assert misspelt.stderr == "goose: No such command 'rnu'. Did you mean 'run'? Try 'goose --help'.\n"
