"""Writing a set of files: all of them or none, never outside the project, never over an existing file unless told.

Used by ``new``. Everything is checked before the first byte is written; a failure in the middle is undone.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goose.commands.errors import CommandError


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be made; its path is relative to the project's folder."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A file that is there already, and what it is to become."""

    path: Path
    before: bytes
    after: bytes

    def diff(self) -> Iterator[str]:
        """What changes, line by line."""
        before, after = (text.decode(errors="replace").splitlines() for text in (self.before, self.after))
        return difflib.unified_diff(before, after, str(self.path), str(self.path), lineterm="")


def write(root: Path, files: Sequence[NewFile], edits: Sequence[Edit] = (), *, force: bool = False) -> None:
    """Make the files and edits below ``root``, or leave everything as it was.

    Args:
        root: The project's folder; made when missing.
        files: What is new. Existing ones are replaced with ``force`` only, links never.
        edits: What changes; refused if somebody else has changed the file meanwhile.
        force: Replace existing files.

    Raises:
        CommandError: Something stands in the way; nothing has been written.
    """
    check(root, files, force=force)
    undo: list[Callable[[], None]] = []
    try:
        _make_folder(root, undo)
        for file in files:
            _make_folder((root / file.path).parent, undo)
            _put(root / file.path, file.text.encode(), undo, replace=force)
        for edit in edits:
            _replace(root / edit.path, edit, undo)
    except BaseException as error:
        for step in reversed(undo):
            with contextlib.suppress(OSError):
                step()
        if isinstance(error, OSError):
            raise CommandError(f"nothing was written: {error.filename}: {error.strerror}") from error
        raise


def check(root: Path, files: Sequence[NewFile], *, force: bool = False) -> None:
    """See that nothing stands in the way of new files.

    Raises:
        CommandError: A file exists, is a link, or would lie outside ``root``.
    """
    inside = root.resolve()
    for file in files:
        path = root / file.path
        if not path.parent.resolve().is_relative_to(inside):
            raise CommandError(f"{file.path} would lie outside {inside}: nothing was written")
        if path.is_symlink():
            raise CommandError(f"{file.path} is a link: nothing was written; remove it first")
        if path.is_dir():
            raise CommandError(f"{file.path} is a folder: nothing was written")
        if path.exists() and not force:
            raise CommandError(f"{file.path} exists: nothing was written; --force overwrites it")


def _make_folder(folder: Path, undo: list[Callable[[], None]]) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        undo.append(path.rmdir)


def _put(path: Path, content: bytes, undo: list[Callable[[], None]], *, replace: bool) -> None:
    if replace and path.exists():
        _swap(path, content, undo)
        return
    with path.open("xb") as file:  # O_EXCL: refuses what has come into being since the check
        undo.append(path.unlink)
        file.write(content)


def _replace(path: Path, edit: Edit, undo: list[Callable[[], None]]) -> None:
    if path.read_bytes() != edit.before:
        raise CommandError(f"{edit.path} has changed meanwhile: nothing was written")
    _swap(path, edit.after, undo)


def _swap(path: Path, content: bytes, undo: list[Callable[[], None]]) -> None:
    """Replace a file whole: a reader sees the old one or the new one, and its mode stays."""
    before = path.read_bytes()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(path.stat().st_mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    undo.append(lambda: _restore(path, before))


def _restore(path: Path, content: bytes) -> None:
    path.write_bytes(content)
