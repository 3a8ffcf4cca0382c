"""Puts this example on the path, as running it from its own folder does."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works on a database file of its own."""
    monkeypatch.chdir(tmp_path)
