"""What the other tests of this folder run is the wheel, and nothing of the source tree."""

from __future__ import annotations

import json
from pathlib import Path

from end_to_end.installed import SOURCES, Goose

REACHED = """
import json, sys
from importlib.metadata import distribution, entry_points

import goose_queues, goose_sql
from goose.commands import main
from goose.commands.templates import templates

print(json.dumps({
    "path": sys.path,
    "code": [str(getattr(module, "__file__", None)) for name, module in sys.modules.items() if name.startswith("goose")],
    "templates": [str(path) for path in templates().rglob("*.jinja")],
    "distribution": str(distribution("goose-framework").locate_file("")),
    "plugins": [point.load().__file__ for point in entry_points(group="pytest11") if point.name.startswith("goose")],
}))
"""


def test_everything_is_reached_in_the_environment_of_the_wheel(goose: Goose, tmp_path: Path) -> None:
    (tmp_path / "reached.py").write_text(REACHED)
    reached = json.loads(goose.module(tmp_path, "reached.py").stdout)
    assert not [path for path in reached["path"] if Path(path) in {SOURCES, SOURCES / "modules"}]
    assert len(reached["code"]) > 50
    assert len(reached["templates"]) == len(list((SOURCES / "templates").rglob("*.jinja")))
    assert len(reached["plugins"]) == 2
    for path in [*reached["code"], *reached["templates"], *reached["plugins"], reached["distribution"]]:
        assert Path(path).is_relative_to(goose.prefix)


def test_the_wheel_has_what_python_type_checkers_and_stores_look_for(goose: Goose) -> None:
    (packages,) = goose.prefix.glob("lib/python*/site-packages")
    for package, place in (
        ("goose", SOURCES),
        ("goose_sql", SOURCES / "modules"),
        ("goose_queues", SOURCES / "modules"),
    ):
        kept = {path.relative_to(place) for path in (place / package).rglob("*") if is_kept(path)}
        assert kept <= {path.relative_to(packages) for path in (packages / package).rglob("*")}
        assert (packages / package / "py.typed").exists()


def is_kept(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts
