"""Finding the application: ``--app``, else ``[tool.goose] app`` in pyproject.toml, else ``main:app``.

Used by ``hook`` and ``run``. The working directory is put on ``sys.path`` for it, as uvicorn does, and nothing else is.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from goose.commands.errors import BrokenApplication, CommandError, NoApplication, NotAnApplication
from goose.commands.near import did_you_mean
from goose.commands.settings import setting
from goose.instance import Instance

DEFAULT: Final = "main:app"


def application_name(given: str | None) -> str:
    """The import string of the application, ``module:attribute``.

    Raises:
        CommandError: It is not of that form, or pyproject.toml cannot be read.
    """
    name = given or setting("app", "module:attribute") or DEFAULT
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *(attribute or "app").split(".")]):
        raise CommandError(f"{name!r} does not name an application: write module:attribute, as in {DEFAULT}")
    return f"{module}:{attribute or 'app'}"


def load(name: str) -> Instance:
    """Import the application of this import string.

    Raises:
        NoApplication: There is no such module.
        BrokenApplication: Importing it raised.
        NotAnApplication: It is something else.
    """
    module_name, _, attribute = name.partition(":")
    found: Any = import_from_here(module_name, name)
    for part in attribute.split("."):
        found = _attribute(found, part, name)
    if not isinstance(found, Instance):
        raise NotAnApplication(name, f"a {type(found).__name__}")
    found.import_string = name
    return found


def import_from_here(module: str, place: str) -> ModuleType:
    """Import a module with the working directory on ``sys.path``.

    Raises:
        NoApplication: There is no such module.
        BrokenApplication: Importing it raised.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise NoApplication(place, f"there is no module {error.name!r} in {here}") from error
        raise BrokenApplication(place, str(error), _place_of(error)) from error
    except Exception as error:
        raise BrokenApplication(place, f"{type(error).__name__}: {error}", _place_of(error)) from error


def _attribute(owner: Any, name: str, place: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        label = getattr(owner, "__name__", type(owner).__name__)
        raise NoApplication(place, f"{label} has no attribute {name!r}{did_you_mean(name, dir(owner))}") from error


def _place_of(error: BaseException) -> str | None:
    """File and line of the last of the application's own frames that the error went through."""
    here = str(Path.cwd())
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_relative(error.filename, here)}:{error.lineno}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(here)]
    return f"{_relative(own[-1].filename, here)}:{own[-1].lineno}" if own else None


def _relative(path: str, here: str) -> str:
    return path.removeprefix(here).lstrip("/\\")
