"""goose new controller and service: what is written where; that it works is shown end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["OrderItems", "order_items", "OrderItemsController"])
def test_a_controller_answers_under_its_name(root: Path, goose: Callable, name: str) -> None:
    said = goose("new", "controller", name)
    assert said.out == (
        "wrote app/controllers/__init__.py\n"
        "wrote app/controllers/order_items.py\n"
        "wrote tests/controllers/test_order_items.py\n"
        "added OrderItemsController to AppModule.declarations in app/module.py\n"
    )
    text = (root / "app/controllers/order_items.py").read_text()
    assert 'class OrderItemsController(Controller, prefix="/order-items"):' in text
    assert "declarations = (OrderItemsController,)" in (root / "app/module.py").read_text()


@pytest.mark.parametrize("name", ["Orders", "orders", "OrdersService"])
def test_a_service_stands_in_a_file_of_its_own(root: Path, goose: Callable, name: str) -> None:
    said = goose("new", "service", name)
    assert "wrote app/services/orders.py\nwrote tests/services/test_orders.py\n" in said.out
    assert "class OrdersService:" in (root / "app/services/orders.py").read_text()
    assert "declarations = (OrdersService,)" in (root / "app/module.py").read_text()


@pytest.mark.parametrize("kind", ["controller", "service"])
def test_a_part_may_belong_to_another_module(root: Path, goose: Callable, kind: str) -> None:
    goose("new", "module", "shop")
    said = goose("new", kind, "Orders", "--module", "app.shop.module")
    assert f"wrote app/shop/{kind}s/orders.py\nwrote tests/shop/{kind}s/test_orders.py\n" in said.out
    assert f"from app.shop.{kind}s.orders import Orders{kind.title()}\n" in (root / "app/shop/module.py").read_text()


def test_a_second_part_keeps_the_package_as_it_is(root: Path, goose: Callable) -> None:
    goose("new", "service", "Orders")
    (root / "app/services/__init__.py").write_text("mine")
    said = goose("new", "service", "Stock", "--force")
    assert "__init__" not in said.out
    assert (root / "app/services/__init__.py").read_text() == "mine"


@pytest.mark.parametrize("kind", ["controller", "service", "middleware"])
def test_a_dry_run_writes_nothing(root: Path, goose: Callable, kind: str) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.py")}
    said = goose("new", kind, "Orders", "--dry-run")
    assert said.out.startswith("would write\n  app/\n")
    assert "\nwould have added Orders" in said.out
    assert {path: path.read_bytes() for path in root.rglob("*.py")} == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["controller", "Controller"], "'Controller' cannot name a controller: say what it is about"),
        (
            ["job", "Client"],
            "the name Client is taken: tests/jobs/test_client.py needs another Client beside it; choose another name",
        ),
        (
            ["job", "Job"],
            "the name Job is taken: app/jobs/job.py needs another Job beside it; choose another name",
        ),
    ],
)
def test_what_cannot_be_a_part_is_refused(root: Path, goose: Callable, words: list[str], sentence: str) -> None:
    said = goose("new", *words)
    assert (said.code, said.out, said.err) == (1, "", f"goose: {sentence}\n")
    assert sorted(path.name for path in root.rglob("*")) == ["app", "main.py", "module.py"]


def test_a_file_that_its_folder_would_hide_is_not_hidden(root: Path, goose: Callable) -> None:
    (root / "app/services.py").write_text("mine")
    said = goose("new", "service", "Orders")
    assert said.err == "goose: the folder app/services would hide app/services.py from Python: nothing was written\n"
    (root / "app/services.py").unlink()
    (root / "app/services/orders").mkdir(parents=True)
    (root / "app/services/orders/__init__.py").touch()
    said = goose("new", "service", "Orders")
    assert said.err == (
        "goose: the folder app/services/orders would hide app/services/orders.py from Python: nothing was written\n"
    )
