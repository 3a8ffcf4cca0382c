"""goose new job: what is written where, and what is refused; that it works is shown end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import goose_queues.job
from goose.commands.new.job import OF_JOBS

MODULE = """\
from goose import Module

from app.orders.service import Orders


class OrdersModule(Module):
    declarations = (Orders,)
"""


@pytest.fixture
def orders(project: Path) -> Path:
    """A project with a module in a package of its own."""
    folder = project / "app/orders"
    folder.mkdir(parents=True)
    (folder / "module.py").write_text(MODULE)
    return folder


@pytest.mark.parametrize("module", ["app.orders.module", "app.orders.module:OrdersModule"])
def test_a_job_stands_beside_its_module(orders: Path, goose: Callable, module: str) -> None:
    said = goose("new", "job", "ship_order", "--module", module, "--queue", "post")
    assert said.out == (
        "wrote app/orders/jobs/__init__.py\n"
        "wrote app/orders/jobs/ship_order.py\n"
        "wrote tests/orders/jobs/test_ship_order.py\n"
        "added ShipOrder to OrdersModule.declarations in app/orders/module.py\n"
    )
    assert 'class ShipOrder(Job, queue="post"):' in (orders / "jobs/ship_order.py").read_text()
    edited = (orders / "module.py").read_text()
    assert "from app.orders.jobs.ship_order import ShipOrder\n" in edited
    assert "declarations = (Orders, ShipOrder)\n" in edited


def test_a_dry_run_shows_the_edit(orders: Path, goose: Callable) -> None:
    said = goose("new", "job", "ShipOrder", "--module", "app.orders.module", "--dry-run")
    assert "\n-    declarations = (Orders,)\n+    declarations = (Orders, ShipOrder)\n" in said.out
    assert said.out.endswith("would have added ShipOrder to OrdersModule.declarations in app/orders/module.py\n")
    assert (orders / "module.py").read_text() == MODULE
    assert not (orders / "jobs").exists()


def test_a_module_that_cannot_be_edited_gets_its_lines_said(orders: Path, goose: Callable) -> None:
    said = goose("new", "job", "ShipOrder", "--module", "app.orders.module:Other")
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith(
        "app/orders/module.py was left as it is (it has no class Other). Add to it:\n"
        "    from app.orders.jobs.ship_order import ShipOrder\n"
        "and ShipOrder to the module's declarations.\n"
    )
    assert (orders / "module.py").read_text() == MODULE


def test_an_existing_job_is_kept_without_force(orders: Path, goose: Callable) -> None:
    words = ("new", "job", "ShipOrder", "--module", "app.orders.module")
    assert goose(*words).code == 0
    (orders / "jobs/ship_order.py").write_text("mine")
    edited = (orders / "module.py").read_text()
    said = goose(*words)
    assert (said.code, said.out) == (1, "")
    assert said.err == "goose: app/orders/jobs/ship_order.py exists: nothing was written; --force overwrites it\n"
    assert (orders / "jobs/ship_order.py").read_text() == "mine"
    assert goose(*words, "--force").code == 0
    assert "class ShipOrder(Job):" in (orders / "jobs/ship_order.py").read_text()
    assert (orders / "module.py").read_text() == edited


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (
            "app.module",
            "there is no app/module.py here: go to the project's folder, or name the module with --module package.module",
        ),
        ("main", "main.py is in no package: name a module in one with --module package.module"),
        ("app.linked", "app/linked.py lies outside this folder: nothing was written"),
        ("/etc.x", "'/etc' cannot name a module: use letters, digits and _, beginning with a letter"),
        (
            "app.orders.module:a b",
            "'a b' cannot name a module: use letters, digits and _, beginning with a letter",
        ),
    ],
)
def test_a_module_that_is_not_there_is_named(
    orders: Path, tmp_path_factory: pytest.TempPathFactory, goose: Callable, module: str, sentence: str
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "module.py"
    outside.write_text(MODULE)
    project = orders.parents[1]
    (project / "main.py").write_text("")
    (project / "app/linked.py").symlink_to(outside)
    said = goose("new", "job", "ShipOrder", "--module", module)
    assert (said.code, said.out, said.err) == (1, "", f"goose: {sentence}\n")
    assert outside.read_text() == MODULE
    assert not (orders / "jobs").exists()


def test_a_wrong_queue_is_refused(orders: Path, goose: Callable) -> None:
    said = goose("new", "job", "ShipOrder", "--module", "app.orders.module", "--queue", "a b")
    assert said.err == "goose: 'a b' cannot name a queue: use 1 to 64 of the letters A-Z a-z, digits and _ . -\n"


def test_fields_and_options_are_those_of_the_class(orders: Path, goose: Callable) -> None:
    words = ["to:str", "cc:list[str]=[]", "--queue", "post", "--retries", "5", "--timeout", "60"]
    said = goose("new", "job", "ShipOrder", *words, "--module", "app.orders.module")
    assert (said.code, said.err) == (0, "")
    text = (orders / "jobs/ship_order.py").read_text()
    assert 'class ShipOrder(Job, queue="post", max_retries=5, timeout=60):\n' in text
    assert "\n    to: str\n    cc: list[str] = Field(default_factory=list)\n" in text
    assert "\nfrom pydantic import Field\n" in text
    test = (orders.parents[1] / "tests/orders/jobs/test_ship_order.py").read_text()
    assert '    job = ShipOrder(to="to")\n' in test


def test_a_job_without_fields_imports_nothing_for_them(orders: Path, goose: Callable) -> None:
    goose("new", "job", "ShipOrder", "--module", "app.orders.module", "--retries", "0")
    text = (orders / "jobs/ship_order.py").read_text()
    assert "class ShipOrder(Job, max_retries=0):\n" in text
    assert "pydantic" not in text


def test_names_that_every_job_has_are_those_of_jobs() -> None:
    assert OF_JOBS == goose_queues.job._RESERVED


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["handle:str"], 1, "'handle' cannot name a field: the class has its own handle"),
        (["model_dump:str"], 1, "'model_dump' cannot name a field: the class has its own model_dump"),
        (["json:str"], 1, "'json' cannot name a field: the class has its own json"),
        (["Job:str"], 1, "'Job' cannot name a field: the class has its own Job"),
        (["to:str", "to:str"], 1, "the field 'to' is there twice"),
        (["--retries", "-1"], 2, "Invalid value for '--retries': "),
        (["--retries", "1001"], 2, "Invalid value for '--retries': "),
        (["--timeout", "0"], 2, "Invalid value for '--timeout': "),
        (["--timeout", str(10**40)], 2, "Invalid value for '--timeout': "),
        (["--timeout", "soon"], 2, "Invalid value for '--timeout': "),
    ],
)
def test_what_is_no_job_is_refused(orders: Path, goose: Callable, words: list[str], code: int, sentence: str) -> None:
    said = goose("new", "job", "ShipOrder", *words, "--module", "app.orders.module")
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(f"goose: {sentence}")
    assert said.err.count("\n") == 1
    assert not (orders / "jobs").exists()
