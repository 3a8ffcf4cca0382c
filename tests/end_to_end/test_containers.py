"""A new application in containers: what its image and its services run is run here, without a container engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from end_to_end.installed import Goose, ask
from servers.shared import room

PASSWORD = "${POSTGRES_PASSWORD"


@pytest.fixture(scope="module")
def services(shop: Path) -> dict[str, Any]:
    return yaml.safe_load((shop / "compose.yaml").read_text())["services"]


@pytest.fixture(scope="module")
def image(shop: Path) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, in order."""
    text = (shop / "Dockerfile").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def test_every_service_runs_a_command_that_goose_has(
    goose: Goose, shop: Path, services: dict[str, Any], image: list[tuple[str, str]]
) -> None:
    commands = [json.loads(dict(image)["CMD"]), *(each["command"] for each in services.values() if "command" in each)]
    assert [command[1:3] for command in commands] == [["run", "--host"], ["db", "migrate"], ["queue", "work"]]
    for command in commands:
        assert command[0] == "goose"
        goose(shop, *command[1:], "--help")


def test_a_service_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    waits = {
        name: [(needed, how["condition"]) for needed, how in each.get("depends_on", {}).items()]
        for name, each in services.items()
    }
    migrated = [("migrate", "service_completed_successfully")]
    assert waits == {"db": [], "migrate": [("db", "service_healthy")], "worker": migrated, "web": migrated}
    assert services["db"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    assert "restart" not in services["migrate"]


def test_what_serves_nothing_is_not_asked_over_http(services: dict[str, Any]) -> None:
    unasked = [name for name, each in services.items() if each.get("healthcheck", {}).get("disable")]
    assert unasked == ["migrate", "worker"]
    assert [name for name, each in services.items() if "ports" in each] == ["web"]


def test_no_secret_is_written_down(shop: Path, services: dict[str, Any]) -> None:
    assert services["db"]["environment"]["POSTGRES_PASSWORD"].startswith(f"{PASSWORD}:?")
    for name in ("migrate", "worker", "web"):
        assert services[name]["environment"]["DATABASE_URL"] == f"postgresql://app:{PASSWORD}}}@db/app"
    for ignored in (".gitignore", ".dockerignore"):
        assert {".env", "*.db"} <= set((shop / ignored).read_text().splitlines())


@pytest.mark.parametrize("name", ["yes", "Shop__", "my__shop", "null"])
def test_names_of_any_kind_make_a_compose_file_that_can_be_read(goose: Goose, tmp_path: Path, name: str) -> None:
    goose(tmp_path, "new", "app", name)
    compose = yaml.safe_load((tmp_path / name / "compose.yaml").read_text())
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", compose["name"])
    assert re.fullmatch(r"[a-z0-9]+((_|__|-+)[a-z0-9]+)*", compose["services"]["web"]["image"])


def test_the_image_is_not_root_and_keeps_dependencies_in_a_layer_of_their_own(image: list[tuple[str, str]]) -> None:
    words = [word for word, _ in image]
    assert words[0] == "FROM"
    assert words.index("USER") < words.index("CMD")
    assert dict(image)["USER"] not in {"root", "0"}
    steps = [(word, rest) for word, rest in image if word in {"COPY", "RUN"}]
    assert [rest for word, rest in steps if word == "COPY"] == ["pyproject.toml ./", ". ."]
    installed = next(number for number, (_, rest) in enumerate(steps) if rest.startswith("pip install"))
    assert steps[installed - 1 : installed + 2 : 2] == [("COPY", "pyproject.toml ./"), ("COPY", ". .")]


def test_the_health_of_the_image_is_that_of_the_server(goose: Goose, shop: Path, image: list[tuple[str, str]]) -> None:
    python, *asked = json.loads(dict(image)["HEALTHCHECK"].partition("CMD ")[2])
    assert python == "python"
    with goose.running(shop, "run", "--port", "0") as server:
        port = server.says(r"http://127\.0\.0\.1:(\d+)")[1]
        here = [word.replace(":8080/", f":{port}/") for word in asked]
        assert here != asked
        goose.module(shop, *here)
        server.stop()
    goose.module(shop, *here, code=1)


def test_the_services_on_postgresql(goose: Goose, shop: Path, services: dict[str, Any]) -> None:
    """What compose.yaml starts, in its order: the web dispatches, the worker works, and neither starts before the tables are there."""
    place = room("postgres")
    place.clear()
    url = {"DATABASE_URL": place.url.render_as_string(False)}
    web = {name: value for name, value in services["web"]["environment"].items() if name != "DATABASE_URL"} | url

    assert "Run: goose db migrate" in goose(shop, "check", code=1, **url).stderr
    goose(shop, *services["migrate"]["command"][1:], **url)
    assert "is ready" in goose(shop, "check", **url).stdout

    with goose.running(shop, "run", "--port", "0", **web) as server:
        base = server.says(r"http://127\.0\.0\.1:\d+")[0]
        status, answer = ask(f"{base}/greetings", {"to": "Grace"})
        assert status == 202
        job = f"{base}/greetings/jobs/{answer['job_id']}"
        assert server.stop() == 0
    assert "greeted" not in server.log

    with goose.running(shop, *services["worker"]["command"][1:], **url) as worker:
        worker.says("greeted: Hello, Grace!")
        assert worker.stop() == 0

    with goose.running(shop, "run", "--port", "0", **web) as server:
        base = server.says(r"http://127\.0\.0\.1:\d+")[0]
        done = ask(f"{base}/greetings/jobs/{job.rpartition('/')[2]}")
    assert done == (200, {"status": "completed", "result": "Hello, Grace!"})
    place.clear()
