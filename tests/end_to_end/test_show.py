"""What tells about an application or about ``goose`` itself, and changes nothing: routes, graph, check, version, help."""

from __future__ import annotations

import json
import re
from pathlib import Path

from end_to_end.installed import Goose


def test_routes(goose: Goose, shop: Path) -> None:
    routes = goose(shop, "routes").stdout
    assert re.match(r"METHOD +PATH +HANDLER", routes)
    assert re.search(r"^POST +/greetings +GreetingsController\.send$", routes, re.MULTILINE)
    assert re.search(r"^GET +/readyz +", routes, re.MULTILINE)


def test_a_graph_for_people_for_programs_and_for_graphviz(goose: Goose, shop: Path) -> None:
    tree = goose(shop, "graph").stdout
    assert "  GreetingsController (scoped) <- Greeter, Client of QueuesModule\n" in tree
    assert "  SendGreeting (job) <- Greeter\n" in tree
    assert "\nQueuesModule (global)\n" in tree
    modules = json.loads(goose(shop, "graph", "--json").stdout)["modules"]
    assert [module["name"] for module in modules][:2] == ["AppModule", "QueuesModule"]
    assert {"name": "Greeter", "module": "AppModule"} in modules[0]["declarations"][0]["injects"]
    dot = goose(shop, "graph", "--dot").stdout
    assert dot.startswith("digraph goose {\n")
    assert '"AppModule" -> "QueuesModule"' in dot


def test_check(goose: Goose, shop: Path) -> None:
    assert re.fullmatch(r"main:app is ready: \d+ modules, \d+ declarations, 3 routes\n", goose(shop, "check").stdout)
    broken = goose(shop, "check", code=1, DATABASE_URL="sqlite:////nowhere/shop.db").stderr
    assert broken.startswith("goose: ")
    assert broken.count("\n") == 1


def test_the_version_and_help_need_no_application(goose: Goose, tmp_path: Path) -> None:
    assert re.fullmatch(r"goose \d+\.\d+\.\d+\n", goose(tmp_path, "--version").stdout)
    assert "routes" in goose(tmp_path, "--help").stdout
