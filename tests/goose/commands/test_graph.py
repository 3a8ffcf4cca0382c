"""goose graph and goose routes: what an application consists of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

APP = """
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from goose import Module, Named, api, declare
from goose.http.controller import Controller
from goose.http.context import Context
from goose.http.platform import ApiPlatform
from goose.http.route import get, post

class Work:
    __goose_listed__: ClassVar[bool] = True
    __goose_injected__: ClassVar[tuple[str, ...]] = ("handle",)
    def handle(self, ctx: object) -> Any: ...

class Clock: ...

class SharedModule(Module):
    declarations = (Clock,)
    exports = (Clock,)

class Plugged(Module):
    pass

@dataclass
class Orders:
    clock: Clock
    backup: Annotated[str, Named("backup")]

class Send(Work):
    def handle(self, ctx: object, orders: Orders) -> None: ...

class SignedIn:
    async def check(self, ctx: Context) -> None: ...

@dataclass
class OrderController(Controller, prefix="/orders"):
    orders: Orders

    @post("/")
    async def create(self, ctx: Context) -> None: ...

    @get("/{id}", guards=(SignedIn,))
    async def show(self, ctx: Context) -> None: ...

class AppModule(Module):
    imports = (SharedModule,)
    declarations = (OrderController, Orders, declare(str, value="x", name="backup"), Send)

app = api(ApiPlatform(), AppModule, [Plugged])
"""

TREE = """\
AppModule (root)
  imports SharedModule
  OrderController (scoped) <- Orders
  Orders (singleton) <- Clock of SharedModule, str named 'backup'
  str named 'backup' (singleton)
  SignedIn (scoped)
  Send (work) <- Orders

SharedModule
  Clock (singleton)
  exports Clock

Plugged (plugged in)
  declares nothing
"""

DOT = """\
digraph goose {
  node [shape=record];
  "Plugged" [label="Plugged (plugged in)\\l"];
  "SharedModule" [label="SharedModule\\lClock (singleton)\\l"];
  "AppModule" [label="AppModule (root)\\lOrderController (scoped)\\lOrders (singleton)\\lstr named 'backup' (singleton)\\lSignedIn (scoped)\\lSend (work)\\l"];
  "AppModule" -> "SharedModule";
  "AppModule" -> "SharedModule" [style=dashed];
}
"""

ROUTES = """\
METHOD  PATH          HANDLER                 GUARDS
POST    /orders       OrderController.create
GET     /orders/{id}  OrderController.show    SignedIn
GET     /healthz      is the process up?
GET     /readyz       is every module ready?
"""


def test_the_graph_as_text(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP)
    said = goose("graph")
    assert (said.out, said.err, said.code) == (TREE, "", 0)


def test_the_graph_for_graphviz(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP)
    assert goose("graph", "--dot").out == DOT


def test_the_graph_as_json(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP)
    app, shared, plugged = json.loads(goose("graph", "--json").out)["modules"]
    assert [module["name"] for module in (app, shared, plugged)] == ["AppModule", "SharedModule", "Plugged"]
    assert (app["root"], app["imports"], plugged["plugged_in"]) == (True, ["SharedModule"], True)
    assert app["declarations"][1] == {
        "name": "Orders",
        "kind": "singleton",
        "injects": [
            {"module": "SharedModule", "name": "Clock"},
            {"module": "AppModule", "name": "str named 'backup'"},
        ],
        "injected_by": [
            {"module": "AppModule", "name": "OrderController"},
            {"module": "AppModule", "name": "Send"},
        ],
    }
    assert shared["declarations"] == [
        {
            "name": "Clock",
            "kind": "singleton",
            "injects": [],
            "injected_by": [{"module": "AppModule", "name": "Orders"}],
        }
    ]
    assert shared["exports"] == ["Clock"]


def test_one_form_at_a_time(project: Path, goose: Callable) -> None:
    said = goose("graph", "--dot", "--json")
    assert (said.code, said.out) == (2, "")
    assert said.err == "goose: Invalid value: use one of --dot and --json. Try 'goose graph --help'.\n"


TWINS = """
from goose import Module, worker

class Shelf(Module):
    def __init__(self, book: str) -> None:
        self.declarations = ()

class AppModule(Module):
    imports = (Shelf("a"), Shelf("b"))

app = worker(AppModule)
"""


def test_modules_of_one_class_are_told_apart(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(TWINS)
    assert goose("graph").out.splitlines()[:2] == ["AppModule (root)", "  imports Shelf 1, Shelf 2"]
    assert [m["name"] for m in json.loads(goose("graph", "--json").out)["modules"]] == [
        "AppModule",
        "Shelf 2",
        "Shelf 1",
    ]


def test_a_faulty_graph_is_told_in_one_line(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP.replace("imports = (SharedModule,)", "imports = ()"))
    said = goose("graph")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "goose: Orders.__init__(clock: Clock): nothing declares Clock. "
        "Add Clock to AppModule.declarations, or import a module that exports it.\n"
    )


def test_the_routes(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP)
    assert goose("routes").out == ROUTES
