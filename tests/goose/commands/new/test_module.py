"""goose new module: what is written where, and what is refused; that it works is shown end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goose.commands.new.attributes import Attribute
from goose.commands.new.fields import Field
from goose.commands.new.module import new_module


@pytest.fixture
def given(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """What each template folder was given."""
    seen: dict[str, dict[str, object]] = {}

    def render(template: str, **values: object) -> list[object]:
        seen[template] = values
        return []

    monkeypatch.setitem(new_module.__globals__, "render", render)
    return seen


@pytest.mark.parametrize("name", ["orders", "Orders", "OrdersModule", "orders_module"])
def test_a_module_stands_in_a_package_of_its_own_and_is_imported(root: Path, goose: Callable, name: str) -> None:
    said = goose("new", "module", name)
    assert (said.code, said.err) == (0, "")
    assert "wrote app/orders/module.py\n" in said.out
    assert said.out.endswith("\nadded OrdersModule to AppModule.imports in app/module.py\n")
    assert "class OrdersModule(Module):" in (root / "app/orders/module.py").read_text()
    edited = (root / "app/module.py").read_text()
    assert "from app.orders.module import OrdersModule\n" in edited
    assert "    imports = (OrdersModule,)\n    declarations = ()\n" in edited


def test_a_module_of_a_module_stands_below_it(root: Path, goose: Callable) -> None:
    goose("new", "module", "shop")
    goose("new", "module", "orders", "--module", "app.shop.module")
    assert (root / "app/shop/orders/module.py").is_file()
    assert (root / "tests/shop/orders").is_dir()
    assert "from app.shop.orders.module import OrdersModule\n" in (root / "app/shop/module.py").read_text()


def test_templates_are_given_every_form_of_the_name(goose: Callable, given: dict) -> None:
    goose("new", "module", "order_items", "--resource", "size:int=1")
    assert given["resource"] == given["module"]
    assert given["module"] == {
        "module": "app.order_items.module",
        "name": "OrderItemsModule",
        "package": "app.order_items",
        "label": "order_items",
        "folder": "app/order_items",
        "tests": "tests/order_items",
        "entity": "OrderItem",
        "entity_label": "order_item",
        "table": "order_items",
        "fields": (Attribute(Field.read("size:int=1", ())),),
        "resource": True,
    }


def test_a_resource_without_fields_has_a_name(goose: Callable, given: dict) -> None:
    goose("new", "module", "orders", "--resource", "--entity", "Purchase")
    assert given["module"]["fields"] == (Attribute(Field.read("name:str", ())),)
    assert (given["module"]["entity"], given["module"]["entity_label"]) == ("Purchase", "purchase")


def test_only_a_resource_has_an_entity_to_be_named(root: Path, goose: Callable) -> None:
    assert goose("new", "module", "exceptions").code == 0
    said = goose("new", "module", "exceptions", "--resource", "--force")
    assert (said.code, said.err) == (1, "goose: 'Exception' cannot name an entity: Python has its own Exception\n")


def test_only_a_resource_has_fields(root: Path, goose: Callable) -> None:
    said = goose("new", "module", "orders", "name:str")
    assert (said.code, said.out) == (2, "")
    assert "fields and --entity are those of a resource: say --resource as well" in said.err
    assert not (root / "app/orders").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["Module"], "'Module' cannot name a module: say what it is about"),
        (["class"], "'class' cannot name a module: it is a keyword of Python"),
        (["orders", "--resource", "id:int"], "'id' cannot name a field: the class has its own id"),
        (["orders", "--resource", "metadata:str"], "'metadata' cannot name a field: the class has its own metadata"),
        (["orders", "--resource", "self:str"], "'self' cannot name a field: the class has its own self"),
        (
            ["orders", "--resource", "days:list[date]"],
            "the field 'days': a column cannot keep list[date], only what JSON has",
        ),
    ],
)
def test_what_is_no_module_is_refused(root: Path, goose: Callable, words: list[str], sentence: str) -> None:
    said = goose("new", "module", *words)
    assert (said.code, said.out, said.err) == (1, "", f"goose: {sentence}\n")
    assert "imports" not in (root / "app/module.py").read_text()
    assert [path.name for path in (root / "app").iterdir()] == ["module.py"]
