"""The templates of modules and resources: whatever the names are, ruff finds nothing to say and nothing to lay out anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from goose.commands.new.attributes import Attribute
from goose.commands.new.fields import Field
from goose.commands.templates import render

LENGTHS = (1, 20, 28, 31, 34, 37, 40)
"""Of names; what is generated breaks its lines at one or the other of them."""


def fields(length: int) -> tuple[Attribute, ...]:
    typed = (
        f"{'t' * length}:str",
        f"{'w' * length}:datetime",
        "price:Decimal",
        f"{'m' * 22}:dict[str, list[float]] | None = None",
        f"{'d' * length}:list[int]=[1, 2]",
        "tags:list[str]=[]",
    )
    return tuple(Attribute.of(Field.read(text, ())) for text in typed)


@pytest.mark.parametrize("line_length", [88, 100, 120])
def test_ruff_leaves_it_as_it_is(project: Path, line_length: int) -> None:
    settings = f"[tool.ruff]\nline-length = {line_length}\nsrc = ['*']\nlint.extend-select = ['B', 'I', 'RUF', 'UP']\n"
    (project / "pyproject.toml").write_text(settings)
    for length in LENGTHS:
        label = "o" * length
        for entity in ("E" * length, "E", "E" * 40):
            folder = f"{length}_{len(entity)}"
            values = {
                "name": f"{label.capitalize()}Module",
                "package": f"app.{label}",
                "label": label,
                "folder": f"{folder}/app/{label}",
                "tests": f"{folder}/tests/{label}",
                "entity": entity,
                "entity_label": entity.lower(),
                "table": label,
                "fields": fields(length),
                "resource": True,
            }
            for file in [*render("module", **values), *render("resource", **values)]:
                file.path.parent.mkdir(parents=True, exist_ok=True)
                file.path.write_text(file.text)
    for words in (("format", "--diff"), ("check",)):
        ruff = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "."], capture_output=True, text=True, check=False
        )
        assert ruff.returncode == 0, ruff.stdout
