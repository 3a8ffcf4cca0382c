"""Projects to add parts to."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = """\
from goose import Module


class AppModule(Module):
    \"\"\"The root.\"\"\"

    declarations = ()
"""
MAIN = """\
from goose import api
from goose_queues import QueuesModule

from app.module import AppModule

app = api(platform, AppModule, [QueuesModule(url="sqlite://")])
"""


@pytest.fixture
def root(project: Path) -> Path:
    """A project with a root module."""
    (project / "app").mkdir()
    (project / "app/module.py").write_text(ROOT)
    (project / "main.py").write_text(MAIN)
    return project
