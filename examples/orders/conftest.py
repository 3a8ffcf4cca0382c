"""Each test works on a database file of its own, and on queues that no other test sees, wherever these are kept."""

from pathlib import Path
from uuid import uuid4

import pytest


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOOSE_QUEUES_TABLE_PREFIX", f"orders_{uuid4().hex[:8]}_")
    monkeypatch.setenv("GOOSE_QUEUES_AUTO_MIGRATE", "true")
