"""goose run: where it listens, and what it hands to the server."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from goose import Instance
from goose.commands.listening import bind, port_of

APP = """
from goose import Module, api, worker
from goose.http.platform import ApiPlatform

class AppModule(Module):
    pass

app = api(ApiPlatform(host="127.0.0.1", port=8080), AppModule)
jobs = worker(AppModule)
"""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Instance]:
    instances: list[Instance] = []
    monkeypatch.setattr("goose.commands.run.start", instances.append)
    return instances


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ((), ("127.0.0.1", 8080)),
        (("--port", "0"), ("127.0.0.1", 0)),
        (("--host", "0.0.0.0", "--port", "9000"), ("0.0.0.0", 9000)),
    ],
)
def test_listens_where_it_is_told(
    project: Path, goose: Callable, served: list[Instance], words: tuple[str, ...], address: tuple[str, int]
) -> None:
    (project / "main.py").write_text(APP)
    assert goose("run", *words).code == 0
    (instance,) = served
    assert instance.platform is not None
    assert (instance.platform.host, instance.platform.port) == address


def test_an_instance_without_http_listens_nowhere(project: Path, goose: Callable, served: list[Instance]) -> None:
    (project / "main.py").write_text(APP)
    assert goose("run", "--app", "main:jobs").code == 0
    assert len(served) == 1
    said = goose("run", "--app", "main:jobs", "--port", "9000")
    assert (said.code, said.err) == (
        1,
        "goose: this application answers no HTTP (worker(...)): run it without --host, --port and --reload\n",
    )


@pytest.mark.parametrize("words", [("--workers", "2"), ("--json-logs",)])
def test_what_does_not_go_with_reload_is_wrong_usage(project: Path, goose: Callable, words: tuple[str, ...]) -> None:
    (project / "main.py").write_text(APP)
    said = goose("run", "--reload", *words)
    assert said.code == 2
    assert said.err == (
        f"goose: Invalid value for {words[0]}: it does not go with --reload: leave one of them out. Try 'goose run --help'.\n"
    )


def test_several_processes_find_a_taken_port_before_they_start(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = goose("run", "--workers", "2", "--port", str(port))
    assert said.code == 1
    assert said.err == f"goose: cannot listen on 127.0.0.1:{port}: the address is in use or not allowed\n"


def test_a_name_with_several_addresses_has_one_port() -> None:
    bound = bind("localhost", 0)
    try:
        assert {each.getsockname()[1] for each in bound} == {port_of(bound)}
    finally:
        for each in bound:
            each.close()


def test_a_wrong_port_is_wrong_usage(project: Path, goose: Callable, served: list[Instance]) -> None:
    (project / "main.py").write_text(APP)
    assert goose("run", "--port", "70000").code == 2
    assert served == []


def test_reload_hands_the_import_string_to_uvicorn(
    project: Path, goose: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "shop.py").write_text(APP)
    asked: list[tuple[object, dict[str, object]]] = []
    monkeypatch.setattr("uvicorn.run", lambda app, **options: asked.append((app, options)))
    assert goose("run", "--reload", "--app", "shop:app", "--port", "9000").code == 0
    assert asked == [
        (
            "shop:app",
            {"host": "127.0.0.1", "port": 9000, "reload": True, "app_dir": str(project), "lifespan": "on"},
        )
    ]
