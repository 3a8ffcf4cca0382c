"""Memory of this process, and sizes as they are typed: ``512M``. For commands with a limit."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import typer

MIB: Final = 1 << 20
"""Bytes."""
_UNITS: Final = {"": MIB, "K": 1 << 10, "M": MIB, "G": 1 << 30}
_SIZE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s?([KMG]?)(?:I?B)?", re.IGNORECASE)


def memory_size(text: str, option: str) -> int:
    """The bytes that a text such as ``512M`` or ``1.5G`` stands for; a number alone is MiB.

    Raises:
        typer.BadParameter: It is no such text.
    """
    found = _SIZE.fullmatch(text.strip())
    size = 0 if found is None else int(float(found[1]) * _UNITS[found[2].upper()])
    if size <= 0:
        raise typer.BadParameter(f"{text!r} is no size: write 512M or 1.5G; a number alone is MiB", param_hint=option)
    return size


def resident_memory() -> int:
    """The bytes of this process that are in memory now; where the system is not Linux, the most that there have been; 0 on Windows."""
    if sys.platform == "win32":
        return 0
    import resource

    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1 << 10)
