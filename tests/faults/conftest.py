"""The fleet whose processes the fault tests kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.application import LEASE
from fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, Path(__file__).with_name("application.py"), LEASE)
    yield fleet
    fleet.end()
