"""Writing a set of files: all of them or none, never outside the project, never over an existing file unless told.

Used by ``new``. Everything is checked before the first byte is written; a failure in the middle is undone, and so is what a
signal interrupts. A whole new folder is made beside its place and moved there, so that not even a killed process leaves half
of it.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from goose.commands.errors import CommandError

STOPPING: Final = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that would end the process between a step and the note of how to undo it."""


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


def read(path: Path) -> bytes:
    """What is in a file.

    Raises:
        CommandError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"nothing was written: {path} cannot be read: {error.strerror}") from error


def write(root: Path, files: Sequence[NewFile], edits: Sequence[Edit] = (), *, force: bool = False) -> None:
    """Make the files and edits below ``root``, or leave everything as it was.

    Args:
        root: The project's folder; made when missing.
        files: What is new. Existing ones are replaced with ``force`` only, links never.
        edits: What changes, after everything new is there; refused if somebody else has changed the file meanwhile.
        force: Replace existing files.

    Raises:
        CommandError: Something stands in the way; nothing has been written.
    """
    check(root, files, force=force)
    writing = _Writing()
    with _signals_wait(), writing:
        if root.exists():
            for file in files:
                writing.put(root / file.path, file.text.encode(), replace=force)
            for edit in edits:
                writing.edit(root / edit.path, edit)
            _refuse_if_stopped()
        else:
            writing.put_all(root, files)


def check(root: Path, files: Sequence[NewFile], *, force: bool = False) -> None:
    """See that nothing stands in the way of new files.

    Raises:
        CommandError: A file exists, is a link, would lie outside ``root``, or would hide another or be hidden.
    """
    try:
        inside = root.resolve()
        for file in files:
            _check(root, inside, file.path, force=force)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise CommandError(f"nothing was written: {error}") from error


def _check(root: Path, inside: Path, name: Path, *, force: bool) -> None:
    path = root / name
    if not path.parent.resolve().is_relative_to(inside) or path.name in ("", ".."):
        raise CommandError(f"{name} would lie outside {inside}: nothing was written")
    if path.is_symlink():
        raise CommandError(f"{name} is a link: nothing was written; remove it first")
    if path.is_dir():
        raise CommandError(f"{name} is a folder: nothing was written")
    if path.exists() and not force:
        raise CommandError(f"{name} exists: nothing was written; --force overwrites it")
    if (path.with_suffix("") / "__init__.py").exists():
        raise CommandError(f"the folder {name.with_suffix('')} would hide {name} from Python: nothing was written")
    for folder in name.parents[:-1]:
        if not (root / folder).exists() and (root / folder).with_suffix(".py").exists():
            raise CommandError(f"the folder {folder} would hide {folder}.py from Python: nothing was written")


class _Writing:
    """What has been written so far, and how to undo it; undone where the block is left by an exception."""

    def __init__(self) -> None:
        self._at = Path()
        """What is being worked on, for the message: an error of a full disk does not name it."""
        self._undo: list[Callable[[], None]] = []
        self._spare: list[Path] = []
        """Files as they were, kept until everything is written."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if error is not None:
            for step in reversed(self._undo):
                with contextlib.suppress(OSError):
                    step()
        for spare in self._spare:
            with contextlib.suppress(OSError):
                spare.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CommandError(f"nothing was written: {self._at}: {error.strerror}") from error

    def put(self, path: Path, content: bytes, *, replace: bool) -> None:
        """Make a file; one that is there only where it may be replaced."""
        self._make_folder(path.parent)
        self._at = path
        if replace and path.exists():
            self._swap(path, content)
            return
        with path.open("xb") as file:  # O_EXCL: refuses what has come into being since the check
            self._undo.append(path.unlink)
            file.write(content)

    def put_all(self, root: Path, files: Sequence[NewFile]) -> None:
        """Make a folder with everything in it at once."""
        self._make_folder(root.parent)
        self._at = root
        beside = _beside(root)
        self._undo.append(lambda: shutil.rmtree(beside, ignore_errors=True))
        beside.mkdir()
        for file in files:
            self._at = root / file.path
            (beside / file.path).parent.mkdir(parents=True, exist_ok=True)
            (beside / file.path).write_bytes(file.text.encode())
        self._at = root
        _refuse_if_stopped()
        if root.exists():  # a rename would take the place of an empty folder
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        beside.rename(root)

    def edit(self, path: Path, edit: Edit) -> None:
        """Change a file, unless it is no longer what was read."""
        self._at = path
        path = path.resolve()  # a link inside of the project stays one
        if path.read_bytes() != edit.before:
            raise CommandError(f"{edit.path} has changed meanwhile: nothing was written")
        self._swap(path, edit.after)

    def _make_folder(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            self._at = path
            path.mkdir()
            self._undo.append(path.rmdir)

    def _swap(self, path: Path, content: bytes) -> None:
        """Replace a file whole: a reader sees the old one or the new one, and its mode and owner stay.

        The old one is copied first, so that a full disk is noticed before anything has changed.
        """
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        spare, fresh = _beside(path), _beside(path)
        self._spare += [spare, fresh]
        shutil.copy2(path, spare)
        fresh.write_bytes(content)
        shutil.copymode(path, fresh)
        _give(path, spare, fresh)
        fresh.replace(path)
        self._undo.append(lambda: _put_back(spare, path))


def _beside(path: Path) -> Path:
    """A name in the same folder that nobody has, which a look at the folder does not show."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _give(path: Path, *copies: Path) -> None:
    """To whom a file belongs, where root works in somebody's project."""
    owner = path.stat()
    for copy in copies:
        with contextlib.suppress(OSError, AttributeError):
            os.chown(copy, owner.st_uid, owner.st_gid)


def _put_back(spare: Path, path: Path) -> None:
    spare.replace(path)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Hold signals back until all is written or undone; Windows has no means for that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _refuse_if_stopped() -> None:
    """Have everything undone where a signal is waiting, before it ends the process."""
    if hasattr(signal, "sigpending") and not signal.sigpending().isdisjoint(STOPPING):
        raise KeyboardInterrupt
