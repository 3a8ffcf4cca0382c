"""Where an application's instance stands, for processes that are to import the same one."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

import goose
from goose import ApiPlatform, Instance, Module
from goose.commands.locate import load
from goose.commands.run import _listening_on
from goose.kernel import Kernel
from goose.origin import SCRIPT, Origin, origin_of


class AppModule(Module): ...


HERE = goose.worker(AppModule)

SCRIPT_TEXT = """
import goose

class AppModule(goose.Module): ...

app = goose.worker(AppModule)
print("imported")

if __name__ == "__main__":
    origin = app.origin()
    print(origin.module, origin.attribute, origin.file)
    other = origin.load()
    print(type(other).__name__, other is app, type(other.module).__name__)
"""


@pytest.mark.parametrize(
    ("file", "command", "origin"),
    [
        ("main.py", ["main.py"], "main app None"),
        ("my-app.py", ["my-app.py"], "my-app app None"),
        ("serve", ["serve"], f"{SCRIPT} app {{folder}}/serve"),
        ("shop/app.py", ["-m", "shop.app"], "shop.app app None"),
        ("shop/__main__.py", ["-m", "shop"], "shop.__main__ app None"),
        ("json.py", ["-P", "json.py"], f"{SCRIPT} app {{folder}}/json.py"),
    ],
)
def test_scripts(tmp_path: Path, file: str, command: list[str], origin: str) -> None:
    """A script is imported under a name of its own, so that its __main__ part does not run."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(SCRIPT_TEXT)
    ran = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True)
    folder = tmp_path.resolve()
    assert ran.stdout.splitlines() == ["imported", origin.format(folder=folder), "imported", "Instance False type"]


def test_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that can be imported by its name is preferred to the script that has the instance from it."""
    module = imported(tmp_path, monkeypatch, "origin_shop", "import goose\napp = goose.worker(goose.Module)")
    monkeypatch.setattr(sys.modules["__main__"], "copy", module.app, raising=False)
    assert module.app.origin() == Origin("origin_shop", "app")
    assert Origin("origin_shop", "app").load() is module.app


def test_a_module_that_its_name_does_not_lead_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that was not imported by its name is read from its file."""
    file = tmp_path / "any.py"
    file.write_text("import goose\napp = goose.worker(goose.Module)")
    monkeypatch.setitem(sys.modules, "origin_deep.any", types.ModuleType("origin_deep.any"))
    origin = Origin("origin_deep.any", "app", str(file))
    app = origin.load()
    assert isinstance(app, Instance)
    assert app.origin() == origin


def test_nowhere() -> None:
    """What is no module's attribute, or that of a module without a file, cannot be found again."""
    app = goose.worker(AppModule)
    assert app.origin() is None
    shell = types.ModuleType("origin_shell")
    shell.app = app
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "origin_shell", shell)
        assert app.origin() is None


def test_a_script_that_cannot_be_imported(tmp_path: Path) -> None:
    """What an import raises comes out, and nothing half imported is left."""
    (tmp_path / "broken.py").write_text("raise OSError('on fire')")
    with pytest.raises(OSError, match="on fire"):
        Origin("origin_broken", "app", str(tmp_path / "broken.py")).load()
    assert "origin_broken" not in sys.modules


def test_modules_that_load_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for an instance has no module load that waits to be used."""

    class Late(types.ModuleType):
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(name)

    monkeypatch.setitem(sys.modules, "origin_late", Late("origin_late"))
    monkeypatch.setitem(sys.modules, "origin_odd", object())
    assert origin_of(HERE) is not None


def test_by_import_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line has found stands where it was told, also with its platform's address replaced."""
    text = "import goose\n\nclass settings:\n    app = goose.api(goose.ApiPlatform(), goose.Module)"
    imported(tmp_path, monkeypatch, "origin_named", text)
    app = load("origin_named:settings.app")
    origin = Origin("origin_named", "settings.app")
    assert app.origin() == _listening_on(app, None, 1234).origin() == origin
    assert origin.load() is app


def test_the_kernel_knows() -> None:
    """A kernel can say where all of its instances stand, or that it cannot."""
    lost = goose.api(ApiPlatform(), AppModule)
    assert Kernel([HERE.assembly(), HERE.assembly()]).origins() == (HERE.origin(), HERE.origin())
    assert Kernel([HERE.assembly(), lost.assembly()]).origins() is None


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> types.ModuleType:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(name)
