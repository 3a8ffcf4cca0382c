"""Files out of template folders: a user's own before ours, file by file.

Used by ``new``. A template's path is a template as well: ``{{ folder }}/{{ label }}.py.jinja``. Templates are rendered in a
sandbox, so that to scaffold in somebody else's project is not to run its code.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from goose.commands.errors import CommandError
from goose.commands.layout import import_lines, on_lines
from goose.commands.scaffold import NewFile
from goose.commands.settings import setting

if TYPE_CHECKING:
    import jinja2

SUFFIX: Final = ".jinja"
"""Templates bear it, so that pip does not compile those that end in .py."""


def render(template: str, **values: object) -> list[NewFile]:
    """The files that a template folder makes of these values.

    Raises:
        CommandError: A template is broken; it is named, with the line.
    """
    # Jinja takes a fifth of goose's time to start, and most commands render nothing.
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    folders = [folder / template for folder in (*own_templates(), templates())]
    engine = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Python and TOML, not HTML; what goes in is checked to be an identifier
    )
    engine.globals.update(import_lines=import_lines, on_lines=on_lines)
    names = sorted({name for folder in folders for name in _names(folder)})
    made: dict[Path, NewFile] = {}
    for name in names:
        file = _rendered(engine, folders, name, values)
        if made.setdefault(file.path, file) is not file:
            raise CommandError(f"two templates of {template} make {file.path}: nothing was written")
    return list(made.values())


def templates() -> Path:
    """Where our templates lie: inside the installed package, or beside it in the source tree."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "templates", package.parent / "templates"):
        if folder.is_dir():
            return folder
    raise CommandError(f"this installation of goose has no templates (looked beside {package}): install it again")


def own_templates() -> Sequence[Path]:
    """The folder that ``[tool.goose] templates`` names, if it names one.

    Raises:
        CommandError: It is not there.
    """
    named = setting("templates", "templates")
    if named is None:
        return ()
    if not named or not Path(named).is_dir():
        raise CommandError(f"pyproject.toml: [tool.goose] templates is {named!r}, and there is no such folder")
    return (Path(named),)


def _names(folder: Path) -> Iterable[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob(f"*{SUFFIX}") if path.is_file())


def _rendered(engine: jinja2.Environment, folders: Sequence[Path], name: str, values: dict[str, object]) -> NewFile:
    import jinja2

    file = next(folder / name for folder in folders if (folder / name).is_file())
    path = None
    try:
        path = engine.from_string(name.removesuffix(SUFFIX)).render(values)
        text = engine.get_template(name).render(values)
    except jinja2.TemplateSyntaxError as error:
        raise CommandError(f"the template {file} is broken in line {error.lineno}: {error.message}") from error
    except Exception as error:  # whatever an expression in it raises
        at = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f" in line {at[-1]}" if at else " in its name" if path is None else ""
        raise CommandError(f"the template {file} is broken{where}: {error}") from error
    return NewFile(Path(path), text)
