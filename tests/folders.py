"""What is in a folder, to be compared with what is in it later."""

from __future__ import annotations

from pathlib import Path


def everything_below(folder: Path) -> dict[str, bytes | str | None]:
    """Each path with what it holds: a file its bytes, a link its target, a folder None."""
    return {str(path.relative_to(folder)): _held(path) for path in sorted(folder.rglob("*"))}


def _held(path: Path) -> bytes | str | None:
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes() if path.is_file() else None
