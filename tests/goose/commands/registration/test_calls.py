"""Adding a class to an argument of a call in its source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from goose.commands.errors import CannotRegister
from goose.commands.registration import add_to_call, calls

PLACE = "app.middleware.timing"
HEAD = "from app.middleware.timing import Timing\n"


def added(source: str) -> str:
    return add_to_call(source.encode(), "QueuesModule", "middleware", "Timing", PLACE, "").decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("()", "(middleware=(Timing,))"),
        ("(url=u)", "(url=u, middleware=(Timing,))"),
        ("(url=u,)", "(url=u, middleware=(Timing,),)"),
        ("(\n    url=u,\n)", "(\n    url=u,\n    middleware=(Timing,),\n)"),
        ("(\n    url=u,\n    queue=q\n)", "(\n    url=u,\n    queue=q,\n    middleware=(Timing,)\n)"),
        ("(\n    url=u, queue=q\n)", "(\n    url=u, queue=q, middleware=(Timing,)\n)"),
        (
            "(\n    url=u,  # where\n    queue=q,  # which\n)",
            "(\n    url=u,  # where\n    queue=q,  # which\n    middleware=(Timing,),\n)",
        ),
        ("(middleware=(), url=u)", "(middleware=(Timing,), url=u)"),
        ("(middleware=(A,))", "(middleware=(A, Timing))"),
        ("(middleware=[\n    A,\n])", "(middleware=[\n    A,\n    Timing,\n])"),
        ("(middleware=(A, Timing))", "(middleware=(A, Timing))"),
    ],
)
def test_adds_to_the_argument_in_the_calls_own_layout(before: str, after: str) -> None:
    source = "app = api([QueuesModule{}])  # ours\nx = f( 1 )\n"
    assert added(source.format(before)) == HEAD + source.format(after)


def test_finds_a_call_of_an_attribute_inside_of_a_function() -> None:
    source = "import goose_queues\n\n\ndef make(url: str):\n\treturn goose_queues.QueuesModule(url)\n"
    assert added(source) == (
        f"import goose_queues\n\n{HEAD}\n\ndef make(url: str):\n\treturn goose_queues.QueuesModule(url, middleware=(Timing,))\n"
    )


@pytest.mark.parametrize(
    ("source", "count"),
    [("", 0), ("QueuesModule", 0), ("QueuesModule()", 1), ("QueuesModule(QueuesModule())", 2), ("# QueuesModule()", 0)],
)
def test_counts_calls(source: str, count: int) -> None:
    assert calls(source.encode(), "QueuesModule") == count


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("QueuesModule(", "it is not valid Python"),
        ("x = 1\n", "it has 0 calls of QueuesModule"),
        ("QueuesModule(); QueuesModule()\n", "it has 2 calls of QueuesModule"),
        ("QueuesModule(*a)\n", "QueuesModule is called with * or **"),
        ("QueuesModule(middleware=A + B)\n", "the middleware of QueuesModule is not a plain tuple or list"),
        ("def Timing(): ...\nQueuesModule()\n", "Timing means something else there already"),
    ],
)
def test_leaves_alone_what_it_cannot_edit_safely(source: str, reason: str) -> None:
    with pytest.raises(CannotRegister) as refused:
        added(source)
    assert str(refused.value) == reason


def test_a_call_that_gets_too_long_is_broken_as_ruff_does(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.ruff]\nline-length = 60\n")
    (project / "main.py").write_text(
        "import goose\n\n\ndef make(url: str) -> None:\n    queues = QueuesModule(url=url)\n"
    )
    for length in (1, 12, 20, 30):
        before = (project / "main.py").read_bytes()
        name = f"Timing{'x' * length}"
        after = add_to_call(before, "QueuesModule", "middleware", name, f"app.{name}", "")
        (project / "main.py").write_bytes(after)
        done = subprocess.run(
            [sys.executable, "-m", "ruff", "format", "--diff", "main.py"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
    assert after.decode().endswith(
        "    queues = QueuesModule(\n"
        "        url=url,\n"
        "        middleware=(\n"
        "            Timingx,\n"
        f"            Timing{'x' * 12},\n"
        f"            Timing{'x' * 20},\n"
        f"            Timing{'x' * 30},\n"
        "        ),\n"
        "    )\n"
    )


def test_a_call_inside_of_another_keeps_its_line(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.ruff]\nline-length = 40\n")
    source = "app = api(AppModule, [QueuesModule(u)])\n"
    assert added(source) == HEAD + "app = api(AppModule, [QueuesModule(u, middleware=(Timing,))])\n"
