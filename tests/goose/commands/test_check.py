"""goose check: boots without serving, for deploy scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

APP = """
from goose import ApiPlatform, Controller, Module, api, get

class Clock:
    async def on_boot(self) -> None:
        print("booted")

    async def on_run(self) -> None:
        print("ran")

    async def on_shutdown(self) -> None:
        print("stopped")

class Times(Controller, prefix="/times"):
    @get("/")
    async def now(self, ctx: object) -> None: ...

class AppModule(Module):
    declarations = (Clock, Times)

    async def check(self) -> None:
        REASON

app = api(ApiPlatform(), AppModule)
"""


def test_everything_is_booted_and_stopped_and_nothing_runs(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP.replace("REASON", "pass"))
    said = goose("check")
    assert (said.code, said.err) == (0, "")
    assert said.out == "booted\nstopped\nmain:app is ready: 1 module, 2 declarations, 1 route\n"


def test_a_module_that_is_not_ready_is_named(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP.replace("REASON", 'raise OSError("no clock in the tower")'))
    said = goose("check")
    assert (said.code, said.out) == (1, "booted\nstopped\n")
    assert said.err == "goose: main:app is not ready: AppModule: OSError: no clock in the tower\n"


def test_an_application_that_does_not_boot_says_why(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text(APP.replace("REASON", "pass").replace('print("booted")', "1 / 0"))
    said = goose("check")
    assert said.code == 1
    assert "ZeroDivisionError" in said.err
    assert said.err.count("\n") == 1
