"""goose new middleware: what is written where, and how the queues module comes to have it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

BY_HAND = """\
    from app.middleware.timing import TimingMiddleware
and middleware=(TimingMiddleware,) to QueuesModule(...).
"""


@pytest.mark.parametrize("name", ["Timing", "timing", "TimingMiddleware"])
def test_the_queues_module_of_the_application_gets_it(root: Path, goose: Callable, name: str) -> None:
    said = goose("new", "middleware", name)
    assert said.out == (
        "wrote app/middleware/__init__.py\n"
        "wrote app/middleware/timing.py\n"
        "wrote tests/middleware/test_timing.py\n"
        "added TimingMiddleware to the middleware of QueuesModule in main.py\n"
    )
    edited = (root / "main.py").read_text()
    assert 'QueuesModule(url="sqlite://", middleware=(TimingMiddleware,))' in edited
    assert "from app.middleware.timing import TimingMiddleware\nfrom app.module import AppModule\n" in edited
    goose("new", "middleware", "Tracing")
    assert "middleware=(TimingMiddleware, TracingMiddleware))" in (root / "main.py").read_text()


def test_the_queues_module_may_be_made_in_the_package(root: Path, goose: Callable) -> None:
    (root / "main.py").write_text("from app.made import app\n")
    (root / "app/made.py").write_text("from goose_queues import QueuesModule\n\nqueues = QueuesModule()\n")
    said = goose("new", "middleware", "Timing")
    assert said.out.endswith("added TimingMiddleware to the middleware of QueuesModule in app/made.py\n")
    assert "queues = QueuesModule(middleware=(TimingMiddleware,))\n" in (root / "app/made.py").read_text()


def test_the_application_is_the_one_that_is_named(root: Path, goose: Callable) -> None:
    (root / "main.py").rename(root / "shop.py")
    said = goose("new", "middleware", "Timing", "--app", "shop:app")
    assert said.out.endswith("added TimingMiddleware to the middleware of QueuesModule in shop.py\n")


@pytest.mark.parametrize(
    ("main", "opening"),
    [
        ("", "the QueuesModule was left as it is (no file here makes one). Add to the file that makes it:\n"),
        (
            "one, other = QueuesModule(), QueuesModule()\n",
            "the QueuesModule was left as it is (it is made more than once, in main.py). Add to the file that makes it:\n",
        ),
        (
            "queues = QueuesModule(**options)\n",
            "main.py was left as it is (QueuesModule is called with * or **). Add to it:\n",
        ),
        (
            "queues = QueuesModule(middleware=OURS)\n",
            "main.py was left as it is (the middleware of QueuesModule is not a plain tuple or list). Add to it:\n",
        ),
        (
            "TimingMiddleware = 1\nqueues = QueuesModule()\n",
            "main.py was left as it is (TimingMiddleware means something else there already). Add to it:\n",
        ),
        (
            "QueuesModule(",
            "the QueuesModule was left as it is (no file here makes one). Add to the file that makes it:\n",
        ),
    ],
)
def test_where_it_cannot_be_added_safely_the_lines_are_said(
    root: Path, goose: Callable, main: str, opening: str
) -> None:
    (root / "main.py").write_text(main)
    said = goose("new", "middleware", "Timing")
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith(f"\n{opening}{BY_HAND}")
    assert (root / "main.py").read_text() == main


def test_sources_outside_of_the_project_are_left_alone(
    root: Path, goose: Callable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "main.py"
    outside.write_text("queues = QueuesModule()\n")
    (root / "main.py").unlink()
    (root / "main.py").symlink_to(outside)
    said = goose("new", "middleware", "Timing")
    assert "(no file here makes one)" in said.out
    assert outside.read_text() == "queues = QueuesModule()\n"
