"""Templates: found, rendered, and overridden file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from folders import everything_below
from goose.commands.errors import CommandError
from goose.commands.templates import render, templates

SERVICE = "ours/service/{{ folder }}/services/{{ label }}.py.jinja"
VALUES = {
    "name": "OrdersService",
    "label": "orders",
    "module": "app.services.orders",
    "folder": "app",
    "tests": "tests",
}


@pytest.fixture
def own(project: Path) -> Callable[[str, str], None]:
    """Write a template of the project's own."""
    (project / "pyproject.toml").write_text('[tool.goose]\ntemplates = "ours"\n')
    (project / "ours").mkdir()

    def write(name: str, text: str) -> None:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)

    return write


def made(kind: str = "service") -> dict[str, str]:
    return {file.path.as_posix(): file.text for file in render(kind, **VALUES)}


def test_templates_are_found_and_name_everything_they_use() -> None:
    assert (templates() / "app").is_dir()
    made = {file.path.as_posix(): file.text for file in render("app", name="shop")}
    assert {"pyproject.toml", "main.py", "app/module.py", "README.md", ".gitignore"} <= made.keys()
    assert all("{{" not in text and "{%" not in text for text in made.values())


def test_a_projects_own_go_before_ours_each_by_itself(own: Callable) -> None:
    ours = made()
    own(SERVICE, "mine = {{ name }}\n")
    own("ours/service/docs/{{ label }}.md.jinja", "# {{ label }}\n")
    own("ours/service/notes.txt", "no template")
    assert made() == ours | {"app/services/orders.py": "mine = OrdersService\n", "docs/orders.md": "# orders\n"}


def test_a_block_on_a_line_of_its_own_leaves_no_line(own: Callable) -> None:
    own(SERVICE, "{% if name %}\n    {% set x = 1 %}\n    x = {{ x }}\n{% endif %}\n")
    assert made()["app/services/orders.py"] == "    x = 1\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\n{% if %}\n", "is broken in line 2: Expected an expression, got 'end of statement block'"),
        ("a\nb\n{{ nmae }}\n", "is broken in line 3: 'nmae' is undefined"),
        ("{% for x in name %}\n{{ x.y }}\n{% endfor %}", "is broken in line 2: 'str object' has no attribute 'y'"),
        ("\n{{ 1 / 0 }}", "is broken in line 2: division by zero"),
        (
            "{{ ''.__class__.__mro__ }}",
            "is broken in line 1: access to attribute '__class__' of 'str' object is unsafe.",
        ),
        ("{{ render.__globals__ }}", "is broken in line 1: 'render' is undefined"),
        (
            "{{ import_lines.__globals__['os'].system('touch x') }}",
            "is broken in line 1: access to attribute '__globals__' of 'function' object is unsafe.",
        ),
        ("{% include '../../../../pyproject.toml' %}", "is broken in line 1: ../../../../pyproject.toml"),
    ],
)
def test_a_broken_template_is_named_with_its_line(own: Callable, project: Path, text: str, sentence: str) -> None:
    own(SERVICE, text)
    before = everything_below(project)
    with pytest.raises(CommandError) as refused:
        made()
    assert str(refused.value) == f"the template {SERVICE} {sentence}"
    assert everything_below(project) == before


def test_a_template_with_a_broken_name_is_named(own: Callable) -> None:
    own("ours/service/{{ nmae }}.py.jinja", "")
    with pytest.raises(CommandError) as refused:
        made()
    assert (
        str(refused.value) == "the template ours/service/{{ nmae }}.py.jinja is broken in its name: 'nmae' is undefined"
    )


def test_a_template_that_is_no_text_is_named(own: Callable, project: Path) -> None:
    own(SERVICE, "")
    (project / SERVICE).write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="is broken: 'utf-8' codec can't decode"):
        made()


def test_two_templates_do_not_make_one_file(own: Callable) -> None:
    own("ours/service/app/services/orders.py.jinja", "")
    with pytest.raises(CommandError) as refused:
        made()
    assert str(refused.value) == "two templates of service make app/services/orders.py: nothing was written"


@pytest.mark.parametrize("name", ["nowhere", "pyproject.toml", ""])
def test_a_folder_that_is_not_there_is_named(project: Path, goose: Callable, name: str) -> None:
    (project / "pyproject.toml").write_text(f'[tool.goose]\ntemplates = "{name}"\n')
    said = goose("new", "app", "shop")
    assert (said.code, said.err) == (
        1,
        f"goose: pyproject.toml: [tool.goose] templates is {name!r}, and there is no such folder\n",
    )


def test_what_a_template_makes_stays_in_the_project(own: Callable, project: Path, goose: Callable) -> None:
    own("ours/app/{{ '..' }}/outside.py.jinja", "")
    said = goose("new", "app", "shop")
    assert said.code == 1
    assert "would lie outside" in said.err
    assert not (project / "shop").exists()


def test_what_a_template_makes_is_python(own: Callable, project: Path, goose: Callable) -> None:
    own("ours/app/main.py.jinja", "import os\n\ndef\n")
    said = goose("new", "app", "shop")
    assert (said.code, said.err) == (1, "goose: main.py would be no Python in line 3: nothing was written\n")
    assert not (project / "shop").exists()
