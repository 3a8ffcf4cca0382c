"""goose graph and goose routes: what an application consists of."""

from __future__ import annotations

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
├── imports SharedModule
├── OrderController (scoped) <- Orders
├── Orders (singleton) <- Clock, str named 'backup'
├── str named 'backup' (singleton)
├── SignedIn (scoped)
└── Send (work) <- Orders

SharedModule
├── Clock (singleton)
└── exports Clock

Plugged (plugged in)
└── declares nothing
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
