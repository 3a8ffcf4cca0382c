"""Isolation: whether a child process could boot the same application, and what it is told so that it does.

Called by ``module`` where the application has jobs with ``isolation="process"``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from goose.kernel import Kernel
from goose.log import Style, shown
from goose_queues.errors import ConfigError
from goose_queues.spawned import CannotBoot
from goose_queues.wire import Hello


def refuse_unfit(job: str, kernel: Kernel, *, private: str | None, harmless: Collection[type]) -> None:
    """Refuse an application whose isolated jobs would not find in a child process what they find here.

    Args:
        job: One of them, by name.
        kernel: The application.
        private: The URL of a database that belongs to this process alone.
        harmless: What may be overridden, as it means nothing to a child.

    Raises:
        ConfigError: What is in the way, and what to do.
    """
    asked = f'{job} has isolation="process", but '
    if os.name != "posix":
        raise ConfigError(f"{asked}this system has no such child processes: leave it out, or work on Linux or macOS")
    if kernel.origins() is None:
        raise ConfigError(
            f"{asked}a child process could not import this application: assign it at the top level of a module "
            "(app = worker(...) in main.py), or name it with --app main:app"
        )
    overridden = [str(key) for key in kernel.overridden if key.type not in harmless]
    if overridden:
        raise ConfigError(
            f"{asked}a child process would not see what overrides put in place of {', '.join(overridden)}: "
            "leave them out, or run jobs with drain(kernel), which does it in this process"
        )
    if private is not None:
        raise ConfigError(
            f"{asked}a child process could not open {private}, a private temporary file: name a file (sqlite:///app.db)"
        )


def hello(kernel: Kernel) -> Hello:
    """What a child is told at its start.

    Raises:
        CannotBoot: It could not import the application.
    """
    origins = kernel.origins()
    if origins is None:
        raise CannotBoot("it could not import this application")
    return Hello(
        origins,
        path=tuple(entry or str(Path.cwd()) for entry in sys.path),
        argv=tuple(sys.argv),
        python_path=os.environ.get("PYTHONPATH"),
        log=_style(),
    )


def _style() -> Style | None:
    """How a child is to show its log: as this process does, if it shows one; the lock on it stays here."""
    root, style = logging.getLogger(), shown()
    if style is not None:
        return replace(style, turn=None)
    return Style(root.level) if root.handlers else None
