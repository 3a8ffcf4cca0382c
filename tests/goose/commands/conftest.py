"""A project's folder to work in, and the command called in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from called import Said, caller, working_in


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that is the working one."""
    with working_in(tmp_path, monkeypatch) as folder:
        yield folder


@pytest.fixture
def goose(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Call the ``goose`` command in the project's folder."""
    return caller(capsys)
